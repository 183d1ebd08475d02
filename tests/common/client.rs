//! The client's side of the network tests: a messenger, and dispatchers that tell the test what they
//! heard.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use ceph_msgr::auth::{AuthNoneAuthorizer, AuthProvider, EntityName as AuthName, NoAuthorizer};
use ceph_msgr::error::{Error, ErrorKind};
use ceph_msgr::msgr::{Message, Options};
use ceph_msgr::net::{Connection, Deadline, Dispatcher, Messenger, Timeouts};
use ceph_msgr::types::{EntityType, GlobalId};

/// Longer than anything here takes; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A deadline that a working library never meets.
pub(crate) fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

/// Waits for what no event announces.
#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = soon();
    while !done() {
        assert!(!deadline.has_passed(), "not in time: {what}");
        std::thread::yield_now();
    }
}

/// Time-outs that no test is meant to see, and no keepalives.
pub(crate) fn patient() -> Timeouts {
    Timeouts {
        connect: PATIENCE,
        handshake: PATIENCE,
        keepalive: None,
        keepalive_timeout: PATIENCE,
        idle: None,
        send: PATIENCE,
    }
}

pub(crate) fn messenger(timeouts: Timeouts) -> Messenger {
    Messenger::new(EntityType::CLIENT, Options::default(), timeouts).expect("a messenger")
}

pub(crate) fn no_auth() -> Arc<dyn AuthProvider> {
    Arc::new(NoAuthorizer)
}

/// The authorizer of protocol `none`.
pub(crate) fn auth_none() -> Arc<dyn AuthProvider> {
    let name = "client.admin".parse::<AuthName>().expect("a name");
    Arc::new(AuthNoneAuthorizer { name, global_id: GlobalId(4100) })
}

/// What a dispatcher was called with.
#[derive(Debug)]
pub(crate) enum Heard {
    Connected,
    Accepted,
    Message(Message),
    Reset(ErrorKind, String),
    RemoteReset,
    Refused,
}

/// Tells all it hears.
#[derive(Debug)]
pub(crate) struct Recorder(Sender<Heard>);

/// What a [`Recorder`] heard, in order.
#[derive(Debug)]
pub(crate) struct Heards(Receiver<Heard>);

pub(crate) fn recorder() -> (Arc<dyn Dispatcher>, Heards) {
    let (tx, rx) = mpsc::channel();
    (Arc::new(Recorder(tx)), Heards(rx))
}

impl Heards {
    #[track_caller]
    pub(crate) fn next(&self) -> Heard {
        self.0.recv_timeout(PATIENCE).expect("the dispatcher is called")
    }

    #[track_caller]
    pub(crate) fn connected(&self) {
        let heard = self.next();
        assert!(matches!(heard, Heard::Connected), "{heard:?}");
    }

    #[track_caller]
    pub(crate) fn message(&self) -> Message {
        match self.next() {
            Heard::Message(msg) => msg,
            other => panic!("{other:?} where a message was expected"),
        }
    }

    #[track_caller]
    pub(crate) fn reset(&self) -> (ErrorKind, String) {
        match self.next() {
            Heard::Reset(kind, text) => (kind, text),
            other => panic!("{other:?} where the end was expected"),
        }
    }

    #[track_caller]
    pub(crate) fn accepted(&self) {
        let heard = self.next();
        assert!(matches!(heard, Heard::Accepted), "{heard:?}");
    }

    /// All that was heard and is not taken yet.
    pub(crate) fn rest(&self) -> Vec<Heard> {
        self.0.try_iter().collect()
    }
}

impl Dispatcher for Recorder {
    fn dispatch(&self, _: &Connection, msg: Message) {
        let _ = self.0.send(Heard::Message(msg));
    }

    fn connected(&self, _: &Connection) {
        let _ = self.0.send(Heard::Connected);
    }

    fn accepted(&self, _: &Connection) {
        let _ = self.0.send(Heard::Accepted);
    }

    fn reset(&self, _: &Connection, error: &Error) {
        let _ = self.0.send(Heard::Reset(error.kind(), error.to_string()));
    }

    fn remote_reset(&self, _: &Connection) {
        let _ = self.0.send(Heard::RemoteReset);
    }

    fn refused(&self, _: &Connection) {
        let _ = self.0.send(Heard::Refused);
    }
}

/// Runs a closure for every callback.
pub(crate) struct Hook<F>(pub(crate) F);

/// Which callback a [`Hook`] runs for.
#[derive(Debug)]
pub(crate) enum Call {
    Connected,
    Message(Message),
    Reset(String),
    RemoteReset,
    Refused,
}

pub(crate) fn hook(f: impl Fn(&Connection, Call) + Send + Sync + 'static) -> Arc<dyn Dispatcher> {
    Arc::new(Hook(f))
}

impl<F: Fn(&Connection, Call) + Send + Sync> Dispatcher for Hook<F> {
    fn dispatch(&self, con: &Connection, msg: Message) {
        (self.0)(con, Call::Message(msg));
    }

    fn connected(&self, con: &Connection) {
        (self.0)(con, Call::Connected);
    }

    fn reset(&self, con: &Connection, error: &Error) {
        (self.0)(con, Call::Reset(error.to_string()));
    }

    fn remote_reset(&self, con: &Connection) {
        (self.0)(con, Call::RemoteReset);
    }

    fn refused(&self, con: &Connection) {
        (self.0)(con, Call::Refused);
    }
}
