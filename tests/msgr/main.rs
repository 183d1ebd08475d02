//! The scenarios of Ceph's `src/test/msgr/test_msgr.cc`, each under its own name, with both ends ours and
//! over real sockets. What Ceph's tests stop inside the messenger is stopped on the wire here
//! (`Interceptor`).
//!
//! Each runs for every protocol, alone in the process, so that it can be held to leave neither a thread
//! nor a descriptor.

#[path = "../common/mod.rs"]
mod common;

/// A scenario as a test of each protocol.
macro_rules! for_each_protocol {
    ($($scenario:ident),* $(,)?) => {
        mod v1 {
            $(
                #[test]
                fn $scenario() {
                    crate::alone::alone(|| super::$scenario(crate::end::Protocol::V1));
                }
            )*
        }

        mod v2 {
            $(
                #[test]
                fn $scenario() {
                    crate::alone::alone(|| super::$scenario(crate::end::Protocol::V2));
                }
            )*
        }
    };
}

/// The same with sealed frames.
macro_rules! sealed_too {
    ($($scenario:ident),* $(,)?) => {
        mod v2_secure {
            $(
                #[test]
                fn $scenario() {
                    crate::alone::alone(|| super::$scenario(crate::end::Protocol::V2Secure));
                }
            )*
        }
    };
}

mod alone;
mod auth;
mod cephx;
mod end;
mod fake;
mod features;
mod full_sockets;
mod interceptor;
mod markdown;
mod messages;
mod race;
mod reconnect;
mod rng;
mod simple;
mod stateful;
mod stateless;
mod synthetic;
mod timeout;
mod workload;
