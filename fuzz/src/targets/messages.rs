//! Message bodies. `u8` which, `u8` version, `u8` compat, then the front.

use std::fmt::Debug;

use ceph_msgr::messages::auth::{MAuth, MAuthReply};
use ceph_msgr::messages::log::{MLog, MLogAck};
use ceph_msgr::messages::mds::{MClientSession, MFSMap, MMDSMap};
use ceph_msgr::messages::mgr::{MMgrCommand, MMgrCommandReply, MMgrMap};
use ceph_msgr::messages::mon::{
    MConfig, MMonCommand, MMonCommandAck, MMonGetMap, MMonGetVersion, MMonGetVersionReply, MMonMap,
    MMonSubscribe, MMonSubscribeAck,
};
use ceph_msgr::messages::osd::{MCommand, MCommandReply, MOSDMap};
use ceph_msgr::messages::{Body, MPing};
use ceph_msgr::msgr::Message;
use ceph_msgr::types::Features;

use crate::input::Input;
use crate::memory::{bounded, of_decoding};

/// The target.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (which, version, compat) = (input.u8(), input.u8(), input.u8());
    let front = input.rest();
    let front = Front { version: version.into(), compat: compat.into(), front };
    match which % 23 {
        0 => front.check::<MAuth>(),
        1 => front.check::<MAuthReply>(),
        2 => front.check::<MLog>(),
        3 => front.check::<MLogAck>(),
        4 => front.session(),
        5 => front.check::<MFSMap>(),
        6 => front.check::<MMDSMap>(),
        7 => front.check::<MMgrCommand>(),
        8 => front.check::<MMgrCommandReply>(),
        9 => front.check::<MMgrMap>(),
        10 => front.check::<MConfig>(),
        11 => front.check::<MMonCommand>(),
        12 => front.check::<MMonCommandAck>(),
        13 => front.check::<MMonGetMap>(),
        14 => front.check::<MMonGetVersion>(),
        15 => front.check::<MMonGetVersionReply>(),
        16 => front.check::<MMonMap>(),
        17 => front.check::<MMonSubscribe>(),
        18 => front.check::<MMonSubscribeAck>(),
        19 => front.check::<MCommand>(),
        20 => front.check::<MCommandReply>(),
        21 => front.osd_map(),
        _ => front.check::<MPing>(),
    }
}

struct Front<'a> {
    version: u16,
    compat: u16,
    front: &'a [u8],
}

impl Front<'_> {
    fn read<T: Body>(&self) -> Option<T> {
        let front = self.front.to_vec();
        let msg = Message::new(T::TYPE, front).with_version(self.version, self.compat);
        let body = bounded(of_decoding(self.front.len()), || T::from_message(&msg));
        if self.compat > T::VERSION {
            assert!(body.is_err(), "an encoding for newer readers only was read");
        }
        let body = body.map_err(|e| assert!(e.at <= msg.front.len(), "{e}")).ok()?;
        let _ = body.to_string();
        // Bytes of one type are not another's.
        let mut other = msg;
        other.header.msg_type = 0;
        assert!(T::from_message(&other).is_err());
        Some(body)
    }

    fn check<T: Body + PartialEq + Debug>(&self) {
        if let Some(body) = self.read::<T>() {
            assert_eq!(again(&body), body);
        }
    }

    /// Without metadata it is sent as version 1, which has less.
    fn session(&self) {
        let Some(mut body) = self.read::<MClientSession>() else { return };
        if body.version() == 1 {
            body.metric_flags.clear();
            body.flags = 0;
        }
        assert_eq!(again(&body), body);
    }

    fn osd_map(&self) {
        let Some(body) = self.read::<MOSDMap>() else { return };
        assert!(body.first() <= body.last());
        assert_eq!(again(&body), body);
    }
}

/// The body as it comes back from its own encoding, which is the same each time.
fn again<T: Body>(body: &T) -> T {
    let msg = body.to_message(Features::ALL);
    assert!(msg.header.compat_version <= msg.header.version);
    let again = T::from_message(&msg).expect("what was encoded is decoded");
    assert_eq!(again.to_message(Features::ALL).front, msg.front);
    again
}
