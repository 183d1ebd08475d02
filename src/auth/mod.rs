//! stub
use crate::crypto::CryptoKey;
use crate::types::EntityType;
use std::time::Instant;
/// e
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("auth")]
pub struct AuthError;
/// a
#[derive(Debug)]
pub struct Authorizer;
impl Authorizer {
    /// p
    pub fn protocol(&self) -> u32 {
        1
    }
    /// b
    pub fn bytes(&self) -> &[u8] {
        &[]
    }
    /// c
    pub fn add_challenge(&mut self, _: &[u8]) -> Result<(), AuthError> {
        Ok(())
    }
    /// c
    pub fn verify_reply(&mut self, _: &[u8]) -> Result<(), AuthError> {
        Ok(())
    }
    /// c
    pub fn wants_reply(&self) -> bool {
        false
    }
    /// c
    pub fn session_key(&self) -> Option<&CryptoKey> {
        None
    }
}
/// t
pub trait AuthProvider: Send + Sync + std::fmt::Debug {
    /// g
    fn get_authorizer(
        &self,
        service: EntityType,
        now: Instant,
        force_new: bool,
    ) -> Result<Option<Authorizer>, AuthError>;
    /// i
    fn invalidate(&self, service: EntityType);
}
