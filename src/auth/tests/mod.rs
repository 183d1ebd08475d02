mod corpus;
mod fake_mon;
mod login;
mod renewal;
pub(crate) mod secrets;
mod server;
mod vectors;

use super::*;
use crate::denc::{Decode, DecodeErrorKind, Encode};
use crate::types::{Features, GlobalId};

/// When a test begins: the one place here that looks at a clock, since an `Instant` cannot be made
/// from nothing.
fn some_time() -> Instant {
    Instant::now()
}

#[test]
fn names_of_entities_are_parsed_and_printed() {
    let name: EntityName = "client.admin".parse().unwrap();
    assert_eq!(name, EntityName::new(EntityType::CLIENT, "admin"));
    assert_eq!("mon.".parse::<EntityName>().unwrap().to_string(), "mon.");
    assert_eq!("client.a.b".parse::<EntityName>().unwrap().id, "a.b");
    for bad in ["", "admin", "client", "clients.admin", ".admin"] {
        assert_eq!(bad.parse::<EntityName>(), Err(EntityNameParseError), "{bad}");
    }
}

#[test]
fn a_name_is_encoded_with_its_type_in_four_bytes() {
    let bytes = [8, 0, 0, 0, 5, 0, 0, 0, b'a', b'd', b'm', b'i', b'n'];
    let name = EntityName::from_bytes(&bytes).unwrap();
    assert_eq!(name.to_string(), "client.admin");
    assert_eq!(name.to_bytes(Features::ALL), bytes);
    let e = EntityName::from_bytes(&[0, 1, 0, 0, 0, 0, 0, 0]).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::BadValue(256));
}

#[test]
fn the_authorizer_of_none_names_and_proves_nothing() {
    let none = AuthNoneAuthorizer {
        name: EntityName::new(EntityType::CLIENT, "x"),
        global_id: GlobalId(4101),
    };
    let mut authorizer = Authorizer::from(&none);
    assert_eq!(authorizer.protocol(), CEPH_AUTH_NONE);
    assert_eq!(authorizer.bytes(), [1, 8, 0, 0, 0, 1, 0, 0, 0, b'x', 5, 16, 0, 0, 0, 0, 0, 0]);
    assert_eq!(AuthNoneAuthorizer::from_bytes(authorizer.bytes()), Ok(none));
    assert_eq!(authorizer.add_challenge(&[0; 32]), Err(AuthError::UnexpectedChallenge));
    assert_eq!(authorizer.verify_reply(&[]), Ok(()));
    assert!(authorizer.session_key().is_none());
}
