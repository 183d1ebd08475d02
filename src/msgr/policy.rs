/// What a connection promises (`src/msg/Policy.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A fault ends the session and drops its queue; the owner starts a new one.
    pub lossy: bool,
}

impl Policy {
    /// A client's towards monitors, OSDs and managers.
    pub const LOSSY_CLIENT: Self = Self { lossy: true };
    /// A client's towards an MDS: each message arrives once and in order.
    pub const LOSSLESS_CLIENT: Self = Self { lossy: false };
}
