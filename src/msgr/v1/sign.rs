use super::wire::{Footer, WireHeader};
use super::{Framing, Rx};
use crate::crypto::{
    CryptoKey, KeyType, SignatureForm, SignedFields, calc_signature, check_signature,
};
use crate::msgr::{Fault, Tx, tx};
use crate::types::Features;

/// The session key of one connection, and the form in which its messages are signed.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    key: CryptoKey,
    form: SignatureForm,
}

impl Signer {
    /// A session without MSG_AUTH has no place for a signature. A key of type 2 signs only in the
    /// form that CEPHX_V2 brings: a peer that lacks it is refused.
    pub(super) fn new(key: &CryptoKey, features: Features) -> Result<Option<Self>, Fault> {
        if !features.has(Features::MSG_AUTH) {
            return Ok(None);
        }
        let form = SignatureForm::for_features(features);
        if form == SignatureForm::Old && key.key_type() == KeyType::Aes256k {
            return Err(Fault::PeerLacksFeatures(Features::NONE.with(Features::CEPHX_V2)));
        }
        Ok(Some(Self { key: key.clone(), form }))
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

impl Rx {
    /// Both directions are signed from here on, or neither.
    pub(super) fn set_signer(&mut self, tx: &mut Tx, signer: Option<Signer>) {
        self.signer.clone_from(&signer);
        let (features, crc_data) = (self.features, self.crc_data);
        tx.set_framing(tx::Framing::V1(Framing { signer, features, crc_data }));
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
