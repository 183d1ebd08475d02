//! Authorizers as a service sees them: made up, made of a real ticket, answered rightly or not,
//! and replayed. `u8` options, then operations.

use std::sync::Arc;

use ceph_msgr::auth::cephx::{
    AuthCapsInfo, AuthTicket, CephXAuthorizeA, CephXAuthorizer, CephXServiceTicketInfo,
    CephXTicketBlob, CephxAuthorizeHandler, CephxAuthorizeOptions, ExpiringCryptoKey,
    RotatingKeyRing, RotatingSecrets,
};
use ceph_msgr::auth::{
    AcceptedAuthorizer, AuthNoneAuthorizeHandler, AuthServer, Authorizer, AuthorizerState,
    AuthorizerVerdict, CEPH_AUTH_CEPHX, MonAuthServer,
};
use ceph_msgr::crypto::{CryptoKey, Usage};
use ceph_msgr::denc::{Decode, Encode, Writer};
use ceph_msgr::limits::AUTHORIZER_MAX_LEN;
use ceph_msgr::types::{EntityType, Features, GlobalId, UTime};

use crate::input::Input;
use crate::keys::{NOW, key, name};
use crate::memory::bounded;

const MAX_OPS: usize = 64;
const SERVICE: EntityType = EntityType::OSD;

/// The target.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut socket = Socket::new(input.u8());
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        socket.step(&mut input);
    }
}

struct Socket {
    handler: CephxAuthorizeHandler,
    state: AuthorizerState,
    features: Features,
    secret: CryptoKey,
    session_key: CryptoKey,
    secret_len: usize,
    client: Authorizer,
    /// The last authorizer of ours that went out, for a replay.
    recorded: Vec<u8>,
}

fn ticket_of(global_id: u64, expires: u32) -> AuthTicket {
    AuthTicket {
        name: name(EntityType::CLIENT, "admin"),
        global_id: GlobalId(global_id),
        old_auid: u64::MAX,
        created: NOW,
        expires: UTime { sec: NOW.sec.wrapping_add(expires), nsec: 0 },
        caps: AuthCapsInfo::from_text(Some("allow *")),
        flags: 0,
    }
}

impl Socket {
    fn new(options: u8) -> Self {
        let bit = |n: u8| options & 1 << n != 0;
        let (secret, session_key) = (key(bit(0), 1), key(bit(1), 50));
        let mut secrets = RotatingSecrets { max_ver: 3, ..RotatingSecrets::default() };
        for id in 1..=3 {
            let expiration = UTime { sec: NOW.sec + 3600 * id as u32, nsec: 0 };
            let expiring = ExpiringCryptoKey { key: secret.clone(), expiration };
            secrets.secrets.insert(id, expiring);
        }
        let ring = RotatingKeyRing::new(SERVICE);
        ring.set_secrets(secrets);
        let options = CephxAuthorizeOptions { require_challenge: !bit(2) };
        let secret_len = if bit(3) { 64 } else { 0 };
        let features = if bit(4) { Features::SUPPORTED } else { Features::NONE };
        let mut socket = Self {
            handler: CephxAuthorizeHandler::new(SERVICE, Arc::new(ring), options),
            state: AuthorizerState::with_connection_secret(secret_len),
            features: if bit(2) { features } else { Features::SUPPORTED },
            client: authorizer(&secret, &session_key, ticket_of(4101, 1800), 0),
            secret,
            session_key,
            secret_len,
            recorded: Vec::new(),
        };
        socket.recorded = socket.client.bytes().to_vec();
        socket
    }

    fn challenges(&self) -> bool {
        self.features.has(Features::CEPHX_V2)
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 10 {
            // Made up.
            0 => {
                let (protocol, bytes) = (input.u8().into(), input.long_chunk());
                let verdict = self.show(protocol, bytes, NOW);
                self.must_not_be_accepted(verdict, bytes);
            }
            // Ours as it is now, whole or damaged.
            1 | 2 => self.ours(None, NOW),
            3 => self.ours(Some(input), NOW),
            4 => {
                let now = UTime { sec: NOW.sec.wrapping_add(input.u32()), nsec: input.u32() };
                self.ours(None, now);
            }
            // A ticket sealed with the service's secret, of bytes that no monitor would seal.
            5 => {
                let blob = self.secret.encrypt_with(&[3; 16], Usage::TICKET_INFO, input.chunk());
                let ticket = CephXTicketBlob { secret_id: 2, blob: blob.expect("a whole key") };
                let a = CephXAuthorizeA::new(GlobalId(input.near(4101)), SERVICE, ticket);
                self.with_part_b(&a, input.chunk());
            }
            // A good ticket, and a part b of any bytes under its key.
            6 => {
                let info = CephXServiceTicketInfo {
                    ticket: ticket_of(input.near(4101), input.u32()),
                    session_key: self.session_key.clone(),
                };
                let id = input.near(2);
                let ticket = info.seal(id, &self.secret).expect("a whole key");
                let a = CephXAuthorizeA::new(GlobalId(input.near(4101)), SERVICE, ticket);
                self.with_part_b(&a, input.chunk());
            }
            7 => {
                let recorded = self.recorded.clone();
                let verdict = self.show(CEPH_AUTH_CEPHX, &recorded, NOW);
                // Our own last one may come again on its socket.
                if self.client.bytes() != recorded {
                    self.must_not_be_accepted(verdict, &recorded);
                }
            }
            8 => {
                self.recorded = self.client.bytes().to_vec();
                let (global_id, life) = (input.near(4101), input.u16());
                let ticket = ticket_of(global_id, life.into());
                self.client = authorizer(&self.secret, &self.session_key, ticket, global_id);
                self.state = AuthorizerState::with_connection_secret(self.secret_len);
            }
            _ => self.others(input),
        }
    }

    fn show(&mut self, protocol: u32, bytes: &[u8], now: UTime) -> AuthorizerVerdict {
        let limit = (64 << 10) + 16 * bytes.len();
        bounded(limit, || {
            self.handler.verify_authorizer(&mut self.state, protocol, bytes, self.features, now)
        })
    }

    /// Who was challenged must have answered; 64 random bits are not guessed.
    fn must_not_be_accepted(&self, verdict: AuthorizerVerdict, bytes: &[u8]) {
        let accepted = matches!(verdict, AuthorizerVerdict::Accepted(_));
        assert!(!(accepted && self.challenges()), "{} bytes were believed", bytes.len());
        assert!(!matches!(verdict, AuthorizerVerdict::NotAsked));
        assert!(!accepted || bytes.len() <= AUTHORIZER_MAX_LEN as usize);
    }

    fn ours(&mut self, damage: Option<&mut Input<'_>>, now: UTime) {
        let mut bytes = self.client.bytes().to_vec();
        let damaged = damage.is_some_and(|input| input.damage(&mut bytes));
        match self.show(CEPH_AUTH_CEPHX, &bytes, now) {
            AuthorizerVerdict::Accepted(accepted) => self.accepted(&accepted, damaged),
            AuthorizerVerdict::Challenge(challenge) => {
                assert!(self.challenges());
                let answered = self.client.add_challenge(&challenge);
                assert!(damaged || answered.is_ok());
            }
            AuthorizerVerdict::Refused(_) => {}
            AuthorizerVerdict::NotAsked => panic!("an authorizer was shown"),
        }
    }

    fn accepted(&mut self, accepted: &AcceptedAuthorizer, damaged: bool) {
        assert_eq!(accepted.connection_secret.is_some(), self.secret_len != 0);
        if damaged {
            // Type 1 has no integrity, and nobody looks at versions.
            return;
        }
        assert_eq!(accepted.peer.name, name(EntityType::CLIENT, "admin"));
        assert_eq!(accepted.session_key.as_ref(), self.client.session_key());
        self.client.verify_reply(&accepted.reply).expect("the reply to our own authorizer");
        assert_eq!(self.client.connection_secret(), accepted.connection_secret.as_ref());
    }

    fn with_part_b(&mut self, a: &CephXAuthorizeA, plain: &[u8]) {
        let mut w = Writer::new(Features::ALL);
        let sealed = self.session_key.encrypt_with(&[5; 16], Usage::AUTHORIZE, plain);
        w.put(a).blob(&sealed.expect("a whole key"));
        let bytes = w.into_vec();
        let verdict = self.show(CEPH_AUTH_CEPHX, &bytes, NOW);
        self.must_not_be_accepted(verdict, &bytes);
    }

    fn others(&mut self, input: &mut Input<'_>) {
        let (protocol, bytes) = (u32::from(input.u8() % 4), input.long_chunk());
        let (state, features) = (&mut AuthorizerState::new(), self.features);
        let none =
            AuthNoneAuthorizeHandler.verify_authorizer(state, protocol, bytes, features, NOW);
        if let AuthorizerVerdict::Accepted(accepted) = none {
            assert!(protocol == 1 && accepted.session_key.is_none());
        }
        let mon = MonAuthServer.verify_authorizer(state, protocol, bytes, features, NOW);
        assert_eq!(matches!(mon, AuthorizerVerdict::NotAsked), protocol == 0);
    }
}

fn authorizer(
    secret: &CryptoKey,
    session_key: &CryptoKey,
    ticket: AuthTicket,
    nonce: u64,
) -> Authorizer {
    let global_id = ticket.global_id;
    let info = CephXServiceTicketInfo { ticket, session_key: session_key.clone() };
    assert_eq!(CephXServiceTicketInfo::from_bytes(&info.to_bytes(Features::ALL)), Ok(info.clone()));
    let ticket = info.seal(2, secret).expect("a whole key");
    CephXAuthorizer::new(global_id, SERVICE, &ticket, session_key, nonce)
        .expect("a whole key")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What rounds of our own authorizer need to be worth something.
    #[test]
    fn our_own_authorizer_is_accepted() {
        for options in 0..32 {
            let mut socket = Socket::new(options);
            // Shown, answered, and shown again after a RETRY.
            for _ in 0..3 {
                socket.ours(None, NOW);
            }
            let refused = options & 4 == 0 && !socket.challenges();
            assert_eq!(socket.client.wants_reply(), refused, "options {options:#x}");
        }
    }
}
