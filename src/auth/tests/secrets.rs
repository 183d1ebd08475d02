//! No `Debug` of a public type shows a secret, in whatever way bytes can be written.

use std::fmt::Debug;
use std::sync::Arc;

use super::fake_mon::{Con, FakeMon};
use super::login::{client_of, talk};
use super::server::{Mon, Now, TYPES, admin, osd_authorizer, show};
use super::some_time;
use crate::auth::cephx::*;
use crate::auth::*;
use crate::crypto::{CryptoKey, KeyType};
use crate::denc::{Encode, Reader};
use crate::hex::to_hex;
use crate::types::{Features, UTime};

/// The ways in which eight bytes of a secret can be printed. Eight are enough to be no accident,
/// and few enough to notice half a secret.
fn forms(secret: &[u8]) -> Vec<String> {
    use base64::Engine;
    let mut forms = Vec::new();
    for part in secret.windows(8) {
        let list = |f: &dyn Fn(&u8) -> String| part.iter().map(f).collect::<Vec<_>>().join(", ");
        let hex = to_hex(part);
        forms.push(hex.to_uppercase());
        forms.push(hex);
        forms.push(list(&|b| format!("{b}")));
        forms.push(list(&|b| format!("{b:02x}")));
        forms.push(list(&|b| format!("0x{b:02x}")));
        forms.push(u64::from_le_bytes(part.try_into().unwrap()).to_string());
        forms.push(u64::from_be_bytes(part.try_into().unwrap()).to_string());
        forms.push(format!("{:#?}", part).replace(['[', ']'], "").trim().to_string());
        forms.push(String::from_utf8_lossy(part).into_owned());
    }
    for start in 0..3 {
        let whole = base64::engine::general_purpose::STANDARD.encode(&secret[start..]);
        forms.push(whole[..whole.len().min(10)].to_string());
    }
    forms
}

pub(crate) fn secret_of(key: &CryptoKey) -> Vec<u8> {
    key.to_bytes(Features::ALL)[12..].to_vec()
}

pub(crate) fn check(what: &str, value: &dyn Debug, secrets: &[Vec<u8>]) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        for form in secrets.iter().flat_map(|s| forms(s)) {
            assert!(!text.contains(&form), "{what} shows a secret as {form}: {text}");
        }
    }
}

#[test]
fn the_check_finds_secrets() {
    let secret: Vec<u8> = (100..132).collect();
    let caught = |value: &dyn Debug| {
        let text = format!("{value:?}{value:#?}");
        forms(&secret).iter().any(|form| text.contains(form))
    };
    assert!(caught(&secret));
    assert!(caught(&to_hex(&secret)));
    assert!(caught(&String::from_utf8_lossy(&secret)));
    assert!(caught(&*CryptoKey::new(KeyType::Aes, UTime::default(), &secret).unwrap().to_base64()));
}

#[test]
fn debug_shows_no_secret() {
    for t in [KeyType::Aes, KeyType::Aes256k] {
        let now = some_time();
        let mut mon = FakeMon::new(t, t);
        mon.connection_secret = (100..164).collect();
        let mut secrets = vec![secret_of(&mon.entity_key), mon.connection_secret.clone()];
        secrets.extend(mon.secrets.values().map(secret_of));

        let client = client_of(&mon);
        let (mut handler, hello) = client.start();
        check("AuthClient", &client, &secrets);
        check("AuthRequest", &hello, &secrets);
        let mut con = Con::default();
        talk(&mut mon, &mut con, &mut handler, hello, now).unwrap();
        secrets.push(secret_of(handler.session_key().unwrap()));
        check("AuthClientHandler", &handler, &secrets);
        check("ConnectionSecret", &handler.connection_secret(), &secrets);
        handler.install().unwrap();

        let authorizer = client.get_authorizer(EntityType::OSD, now, false).unwrap().unwrap();
        let session_key = authorizer.session_key().unwrap().clone();
        secrets.push(secret_of(&session_key));
        check("AuthClientHandler", &handler, &secrets);
        check("AuthClient", &client, &secrets);
        check("Authorizer", &authorizer, &secrets);
        check("CryptoKey", &session_key, &secrets);

        let a: CephXAuthorizeA = Reader::new(authorizer.bytes()).get().unwrap();
        let info = mon.open(4, &a.ticket).unwrap();
        check("CephXServiceTicketInfo", &info, &secrets);
        let for_me = CephXServiceTicket { session_key, validity: UTime::default() };
        check("CephXServiceTicket", &for_me, &secrets);
        check("RotatingSecrets", &Progress::RotatingSecrets(mon.rotating()), &secrets);
        let connection_secret = ConnectionSecret::new(&mon.connection_secret);
        let reply = CephXAuthorizeReply { nonce_plus_one: 1, connection_secret };
        check("CephXAuthorizeReply", &reply, &secrets);
        let sealed =
            ServiceTicketReply::seal(4, &for_me, &a.ticket, &mon.entity_key, None).unwrap();
        check("ServiceTicketReply", &sealed, &secrets);

        let wrong = sealed.open(&CryptoKey::generate(t, UTime::default()).unwrap(), None);
        check("AuthError", &wrong.unwrap_err(), &secrets);
    }
}

#[test]
fn debug_of_the_accepting_side_shows_no_secret() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        let client = mon.client(admin());
        let mut secrets = vec![secret_of(mon.keyring.key(&admin()).unwrap())];
        for service in [EntityType::OSD, EntityType::AUTH] {
            let rotating = mon.keys().rotating_secrets(service).unwrap();
            secrets.extend(rotating.secrets.values().map(|s| secret_of(&s.key)));
        }
        let (_, con) = mon.login(&client, now).unwrap();
        check("AuthMonitor", &mon.monitor, &secrets);
        check("AuthServiceHandler", &con, &secrets);

        let ring = RotatingKeyRing::new(EntityType::OSD);
        ring.set_secrets(mon.keys().rotating_secrets(EntityType::OSD).unwrap());
        let options = CephxAuthorizeOptions::default();
        let osd = CephxAuthorizeHandler::new(EntityType::OSD, Arc::new(ring), options);
        let mut authorizer = osd_authorizer(&client, now);
        secrets.push(secret_of(authorizer.session_key().unwrap()));
        let mut state = AuthorizerState::with_connection_secret(64);
        let AuthorizerVerdict::Challenge(challenge) = show(&osd, &mut state, &authorizer, now)
        else {
            panic!("no challenge");
        };
        secrets.push(state.challenge.unwrap().to_le_bytes().to_vec());
        authorizer.add_challenge(&challenge).unwrap();
        let verdict = show(&osd, &mut state, &authorizer, now);
        let AuthorizerVerdict::Accepted(accepted) = &verdict else { panic!("{verdict:?}") };
        secrets.push(accepted.connection_secret.as_ref().unwrap().as_bytes().to_vec());
        check("AuthorizerState", &state, &secrets);
        check("AuthorizerVerdict", &verdict, &secrets);
        check("CephxAuthorizeHandler", &osd, &secrets);
    }
}
