use super::wire::{Footer, WireHeader};
use crate::crypto::{CryptoKey, SignatureForm, SignedFields, calc_signature, check_signature};
use crate::msgr::Fault;
use crate::types::Features;

/// The session key of one connection, and the form in which its messages are signed.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    key: CryptoKey,
    form: SignatureForm,
}

impl Signer {
    /// A session without MSG_AUTH has no place for a signature.
    pub(super) fn new(key: &CryptoKey, features: Features) -> Option<Self> {
        features
            .has(Features::MSG_AUTH)
            .then(|| Self { key: key.clone(), form: SignatureForm::for_features(features) })
    }

    pub(super) fn sign(&self, header: &WireHeader, footer: &Footer) -> Result<u64, Fault> {
        calc_signature(&self.key, self.form, &fields(header, footer))
            .map_err(|_| Fault::BadSignature)
    }

    pub(super) fn check(&self, header: &WireHeader, footer: &Footer) -> Result<(), Fault> {
        check_signature(&self.key, self.form, &fields(header, footer), footer.sig)
            .map_err(|_| Fault::BadSignature)
    }
}

fn fields(header: &WireHeader, footer: &Footer) -> SignedFields {
    SignedFields {
        header_crc: header.crc,
        front_crc: footer.front_crc,
        front_len: header.front_len,
        middle_crc: footer.middle_crc,
        middle_len: header.middle_len,
        data_crc: footer.data_crc,
        data_len: header.data_len,
        seq: header.header.seq.0,
    }
}
