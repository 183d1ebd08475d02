//! What an accepting side answers where no session opens: the dialler may try again on the same
//! socket.

use super::Accept;
use super::control::{
    ControlFrame, IdentMissingFeaturesFrame, ResetFrame, RetryFrame, RetryGlobalFrame, WaitFrame,
};
use crate::msgr::{Fault, Retry};
use crate::types::Features;

impl Accept {
    /// Answers an offer that opens nothing.
    pub fn retry(&mut self, retry: Retry) -> Result<(), Fault> {
        match retry {
            Retry::Global(seq) => self.reply(&RetryGlobalFrame(seq.0.into())),
            Retry::Session(seq) => self.reply(&RetryFrame(seq.0.into())),
            Retry::ResetSession { full } => self.reply(&ResetFrame(full)),
            Retry::Wait => self.reply(&WaitFrame),
        }
    }

    pub(super) fn refuse_features(&mut self, missing: Features) -> Result<(), Fault> {
        log::info!("{}: lacks features {missing}", self.socket_addr);
        self.reply(&IdentMissingFeaturesFrame(missing.0))
    }

    fn reply<T: ControlFrame>(&mut self, frame: &T) -> Result<(), Fault> {
        let Self { state, out_kvec, .. } = self;
        match state.frames() {
            Some(frames) => frames.tx.add_control(out_kvec, frame),
            None => Ok(()),
        }
    }
}
