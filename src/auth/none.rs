use super::EntityName;
use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::GlobalId;

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
