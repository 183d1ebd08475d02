//! Authentication: tags 4 to 7. The other two are [`AuthOffer`](super::AuthOffer) and
//! [`AuthBadMethod`](super::AuthBadMethod).

use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::GlobalId;

macro_rules! blob_frame {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// What the method has to say.
            pub payload: Vec<u8>,
        }

        impl Encode for $name {
            fn encode(&self, w: &mut Writer) {
                w.blob(&self.payload);
            }
        }

        impl Decode for $name {
            const MIN: usize = 4;

            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self { payload: r.what($what).blob()?.to_vec() })
            }
        }
    };
}

blob_frame! {
    /// AUTH_REPLY_MORE, of the accepting side: `u32` length, and a challenge.
    AuthReplyMoreFrame, "AUTH_REPLY_MORE"
}

blob_frame! {
    /// AUTH_REQUEST_MORE, of the connecting side: `u32` length, and the answer to it.
    AuthRequestMoreFrame, "AUTH_REQUEST_MORE"
}

/// AUTH_DONE: `u64` global_id, `u32` mode, `u32` length and what the method has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthDoneFrame {
    /// From a monitor the session's number; a service repeats it.
    pub global_id: GlobalId,
    /// `CEPH_CON_MODE_*` of all frames from here on.
    pub con_mode: u32,
    /// Tickets, or the reply to an authorizer.
    pub payload: Vec<u8>,
}

impl Encode for AuthDoneFrame {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.global_id).u32(self.con_mode).blob(&self.payload);
    }
}

impl Decode for AuthDoneFrame {
    const MIN: usize = 16;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let global_id = r.what("AUTH_DONE").get()?;
        Ok(Self { global_id, con_mode: r.u32()?, payload: r.blob()?.to_vec() })
    }
}

/// AUTH_SIGNATURE: 32 bytes, HMAC-SHA-256 or zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthSignatureFrame(
    /// See [`AuthSignatures`](crate::msgr::v2::AuthSignatures).
    pub [u8; 32],
);

impl Encode for AuthSignatureFrame {
    fn encode(&self, w: &mut Writer) {
        w.bytes(&self.0);
    }
}

impl Decode for AuthSignatureFrame {
    const MIN: usize = 32;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("AUTH_SIGNATURE").array().map(Self)
    }
}
