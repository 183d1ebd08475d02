//! Sessions that there are already: tags 11 to 16.

use super::one_field;
use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::{EntityAddrVec, Seq};

/// SESSION_RECONNECT, which claims a session: address vector, and five `u64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconnectFrame {
    /// Where the dialler is.
    pub addrs: EntityAddrVec,
    /// The dialler's, of its CLIENT_IDENT.
    pub client_cookie: u64,
    /// The accepting side's, of its SERVER_IDENT. Ceph does not compare it.
    pub server_cookie: u64,
    /// Orders the attempts of one dialler.
    pub global_seq: u64,
    /// Orders the connections of one session.
    pub connect_seq: u64,
    /// The last message that the dialler has received.
    pub msg_seq: Seq,
}

impl Encode for ReconnectFrame {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.addrs).u64(self.client_cookie).u64(self.server_cookie);
        w.u64(self.global_seq).u64(self.connect_seq).put(&self.msg_seq);
    }
}

impl Decode for ReconnectFrame {
    const MIN: usize = EntityAddrVec::MIN + 40;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let addrs = r.what("SESSION_RECONNECT").get()?;
        Ok(Self {
            addrs,
            client_cookie: r.u64()?,
            server_cookie: r.u64()?,
            global_seq: r.u64()?,
            connect_seq: r.u64()?,
            msg_seq: r.get()?,
        })
    }
}

one_field! {
    /// SESSION_RESET: `u8`.
    ResetFrame(
        /// Whether what is queued is lost too.
        bool
    ), "SESSION_RESET"
}

one_field! {
    /// SESSION_RETRY: `u64`.
    RetryFrame(
        /// The connect_seq that the accepting side has.
        u64
    ), "SESSION_RETRY"
}

one_field! {
    /// SESSION_RETRY_GLOBAL: `u64`.
    RetryGlobalFrame(
        /// The highest global_seq that the accepting side has seen of the dialler.
        u64
    ), "SESSION_RETRY_GLOBAL"
}

one_field! {
    /// SESSION_RECONNECT_OK: `u64`.
    ReconnectOkFrame(
        /// The last message that the accepting side has received.
        Seq
    ), "SESSION_RECONNECT_OK"
}

/// WAIT: nothing. The kernel's client refuses it, and is never sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitFrame;

impl Encode for WaitFrame {
    fn encode(&self, _: &mut Writer) {}
}

impl Decode for WaitFrame {
    /// What caps a count cannot be 0; there are no lists of these.
    const MIN: usize = 1;

    fn decode(_: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}
