use std::time::Instant;

use super::cephx::AuthCapsInfo;
use super::{
    AcceptedAuthorizer, AuthError, AuthPeer, AuthProvider, AuthServer, Authorizer, AuthorizerError,
    AuthorizerState, AuthorizerVerdict, CEPH_AUTH_NONE, EntityName,
};
use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};
use crate::limits::AUTHORIZER_MAX_LEN;
use crate::types::{EntityType, Features, GlobalId, UTime};

/// The authorizer of protocol `none`, which names and does not prove: `u8` 1, entity name, `u64`
/// global_id (`src/auth/none/AuthNoneProtocol.h`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthNoneAuthorizer {
    /// Who connects.
    pub name: EntityName,
    /// The number that the monitors gave.
    pub global_id: GlobalId,
}

impl Encode for AuthNoneAuthorizer {
    fn encode(&self, w: &mut Writer) {
        w.u8(1).put(&self.name).put(&self.global_id);
    }
}

impl Decode for AuthNoneAuthorizer {
    const MIN: usize = 17;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("AuthNoneAuthorizer").u8()?;
        Ok(Self { name: r.get()?, global_id: r.get()? })
    }
}

/// Shows itself everywhere.
impl AuthProvider for AuthNoneAuthorizer {
    fn get_authorizer(
        &self,
        _: EntityType,
        _: Instant,
        _: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        Ok(Some(self.into()))
    }

    fn invalidate(&self, _: EntityType) {}
}

/// `none` as a service sees it: whoever connects is who it says, and may do everything.
#[derive(Clone, Copy, Debug)]
pub struct AuthNoneAuthorizeHandler;

impl AuthNoneAuthorizeHandler {
    fn verify(authorizer: &[u8]) -> Result<AuthorizerVerdict, AuthorizerError> {
        if authorizer.len() > AUTHORIZER_MAX_LEN as usize {
            return Err(AuthorizerError::TooLong(authorizer.len()));
        }
        let AuthNoneAuthorizer { name, global_id } = Reader::new(authorizer).get()?;
        let caps = AuthCapsInfo { allow_all: true, caps: Vec::new() };
        Ok(AuthorizerVerdict::Accepted(Box::new(AcceptedAuthorizer {
            reply: Vec::new(),
            session_key: None,
            connection_secret: None,
            peer: AuthPeer { name, global_id, caps },
        })))
    }
}

impl AuthServer for AuthNoneAuthorizeHandler {
    fn verify_authorizer(
        &self,
        _: &mut AuthorizerState,
        protocol: u32,
        authorizer: &[u8],
        _: Features,
        _: UTime,
    ) -> AuthorizerVerdict {
        if protocol != CEPH_AUTH_NONE {
            return AuthorizerVerdict::Refused(AuthorizerError::BadProtocol(protocol));
        }
        Self::verify(authorizer).unwrap_or_else(AuthorizerVerdict::Refused)
    }

    fn supported_methods(&self, _: EntityType) -> Vec<u32> {
        vec![CEPH_AUTH_NONE]
    }
}
