use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};

/// `PaxosServiceMessage`: what a client's request to a monitor begins with, and some answers.
/// `u64` version, `i16` session_mon, `u64` session_mon_tid (`src/messages/PaxosServiceMessage.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaxosHeader {
    /// The version of the service's state that the sender has, or that answers.
    pub version: u64,
    /// Rank of the monitor that forwards the request, -1 from a client.
    pub session_mon: i16,
    /// That monitor's own transaction.
    pub session_mon_tid: u64,
}

impl Default for PaxosHeader {
    /// What a client sends.
    fn default() -> Self {
        Self { version: 0, session_mon: -1, session_mon_tid: 0 }
    }
}

impl Encode for PaxosHeader {
    fn encode(&self, w: &mut Writer) {
        w.u64(self.version).i16(self.session_mon).u64(self.session_mon_tid);
    }
}

impl Decode for PaxosHeader {
    const MIN: usize = 18;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { version: r.u64()?, session_mon: r.i16()?, session_mon_tid: r.u64()? })
    }
}
