//! Messenger v2 in both directions of a proxy. No session key is there with `none`, so nothing keeps
//! the ports in CLIENT_IDENT and its kin from being translated.

use std::io::{self, Write};

use super::{Pump, Step};
use crate::common::frames::*;

/// Of the first address behind the marker and the count of an addrvec.
const FIRST_ADDR: usize = 5;
/// Of the port, in an address: behind marker, versions, length, type, nonce, length and family.
const PORT_AT: usize = 21;

impl Pump {
    pub(super) fn dialler_side_v2(&mut self) -> io::Result<()> {
        self.banner(Step::ClientBanner)?;
        loop {
            let mut frame = read_frame(&mut self.from)?;
            match frame.tag {
                CLIENT_IDENT => {
                    let payload = &mut frame.segments[0];
                    self.translate_claimed(payload);
                    let target = addrvec_len(payload);
                    set_port(&mut payload[target..], self.shared.target.port());
                    self.pass_frame(Step::ClientIdent, &frame)?;
                }
                SESSION_RECONNECT => {
                    self.translate_claimed(&mut frame.segments[0]);
                    self.pass_frame(Step::Reconnect, &frame)?;
                }
                MESSAGE => self.pass(Step::ClientMessage, &frame.raw)?,
                _ => self.to.write_all(&frame.raw)?,
            }
        }
    }

    pub(super) fn acceptor_side_v2(&mut self) -> io::Result<()> {
        self.banner(Step::ServerBanner)?;
        loop {
            let mut frame = read_frame(&mut self.from)?;
            let step = match frame.tag {
                SERVER_IDENT => {
                    set_port(&mut frame.segments[0][FIRST_ADDR..], self.shared.own);
                    Step::ServerIdent
                }
                SESSION_RECONNECT_OK => Step::ReconnectOk,
                SESSION_RESET => Step::SessionReset,
                SESSION_RETRY => Step::SessionRetry,
                SESSION_RETRY_GLOBAL => Step::SessionRetryGlobal,
                WAIT_V2 => Step::Wait,
                AUTH_BAD_METHOD | IDENT_MISSING_FEATURES => Step::Refused(frame.tag),
                MESSAGE => Step::ServerMessage,
                _ => {
                    self.to.write_all(&frame.raw)?;
                    continue;
                }
            };
            self.pass_frame(step, &frame)?;
        }
    }

    fn banner(&mut self, step: Step) -> io::Result<()> {
        let banner = self.read(BANNER_V2.len())?;
        self.pass(step, &banner)
    }

    /// Who dials is to be dialled where a proxy stands in front of it.
    fn translate_claimed(&self, addrs: &mut [u8]) {
        let at = FIRST_ADDR + PORT_AT;
        let claimed = u16::from_be_bytes([addrs[at], addrs[at + 1]]);
        if let Some(seen_at) = self.shared.lock().seen_at.get(&claimed) {
            set_port(&mut addrs[FIRST_ADDR..], *seen_at);
        }
    }

    fn pass_frame(&mut self, step: Step, changed: &V2Frame) -> io::Result<()> {
        let segments: Vec<_> = changed.segments.iter().map(|s| &s[..]).collect();
        self.pass(step, &frame(changed.tag, &segments))
    }
}

fn set_port(addr: &mut [u8], port: u16) {
    addr[PORT_AT..PORT_AT + 2].copy_from_slice(&port.to_be_bytes());
}

/// How long the addrvec is with which a payload begins.
fn addrvec_len(payload: &[u8]) -> usize {
    // Each address has a marker, two versions and its length in front.
    (0..u32_at(payload, 1)).fold(FIRST_ADDR, |at, _| at + 7 + u32_at(payload, at + 3) as usize)
}
