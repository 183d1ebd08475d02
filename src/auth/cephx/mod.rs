//! The `cephx` protocol. A client proves to a monitor that it holds its key and gets tickets; with
//! a ticket it proves to a service that it holds the session key which only the service can read
//! from that ticket (`src/auth/cephx/`, `net/ceph/auth_x.c`).

mod authorize_handler;
mod authorizer;
mod client;
mod key_server;
mod key_store;
mod protocol;
mod rotating;
mod service_handler;
mod service_ticket;
mod ticket;

pub use authorize_handler::{CephxAuthorizeHandler, CephxAuthorizeOptions};
pub use authorizer::CephXAuthorizer;
pub(super) use client::{CephxClientHandler, Principal, Response, is_denial};
pub use key_server::{KeyServer, KeyServerOptions};
pub use key_store::{KeyStore, RotatingKeyRing};
pub use protocol::{
    CEPHX_GET_AUTH_SESSION_KEY, CEPHX_GET_PRINCIPAL_SESSION_KEY, CEPHX_GET_ROTATING_KEY,
    CephXAuthenticate, CephXAuthorize, CephXAuthorizeA, CephXAuthorizeChallenge,
    CephXAuthorizeReply, CephXChallengeBlob, CephXRequestHeader, CephXResponseHeader,
    CephXServerChallenge, CephXServiceTicketRequest, CephXTicketBlob,
};
pub use rotating::{ExpiringCryptoKey, RotatingSecrets};
pub(super) use service_handler::{CephxServiceHandler, LoginKeys};
pub use service_ticket::{
    AuthCapsInfo, AuthTicket, CephXServiceTicket, CephXServiceTicketInfo, ServiceTicketReply,
};
pub(super) use ticket::CephXTicketManager;
