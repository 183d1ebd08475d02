use crate::denc::DecodeError;
use crate::error::{CommandOutput, Error, ErrorKind, Result};
use crate::messages::Body;
use crate::messages::mon::MMonCommandAck;
use crate::msgr::Message;

/// What an `MMonCommandAck` says, as output or as the error of the command.
pub(super) fn command_output(cmd: &str, reply: &Message) -> Result<CommandOutput> {
    let ack = decode::<MMonCommandAck>(reply)?;
    let output = CommandOutput { outs: ack.rs, outbl: reply.data.clone() };
    match ack.r {
        0.. => Ok(output),
        errno => Err(Error::command(&prefix(cmd), errno.saturating_neg(), output)),
    }
}

/// What a command is called, without its arguments: they may be secret.
fn prefix(cmd: &str) -> String {
    let json = serde_json::from_str::<serde_json::Value>(cmd).unwrap_or_default();
    json.get("prefix").and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned()
}

/// A reply's body.
pub(super) fn decode<B: Body>(reply: &Message) -> Result<B> {
    B::from_message(reply).map_err(|e: DecodeError| {
        Error::new(ErrorKind::Protocol, format!("a reply of the monitor: {e}")).with_source(e)
    })
}
