//! Every cap on what a peer or a file can make this library hold, each with its reason.
//! A length is compared with its cap before memory is taken.

/// Longest front of a message: the kernel's `CEPH_MSG_MAX_FRONT_LEN`.
pub const MSG_MAX_FRONT_LEN: u32 = 16 << 20;
/// Longest middle of a message: the kernel's `CEPH_MSG_MAX_MIDDLE_LEN`.
pub const MSG_MAX_MIDDLE_LEN: u32 = 16 << 20;
/// Longest data of a message: the kernel's `CEPH_MSG_MAX_DATA_LEN`.
pub const MSG_MAX_DATA_LEN: u32 = 64 << 20;
/// Longest segment 0 of a frame of messenger v2, which is all of a control frame: a login with all its
/// tickets takes one or two KiB, and more if the caps in them are long.
pub const FRAME_MAX_CONTROL_LEN: u32 = 64 << 10;
/// The same from a peer that has dialled us and may be anyone: an authorizer, and what is around it.
pub const FRAME_MAX_UNAUTHENTICATED_LEN: u32 = AUTHORIZER_MAX_LEN + 1024;
/// Longest payload of a banner of messenger v2, of which 16 bytes are in use.
pub const BANNER_MAX_PAYLOAD_LEN: u32 = 4096;
/// Bytes of a handshake of messenger v2 in one direction that are kept until both sides have signed
/// them: several rounds of it.
pub const MAX_TRANSCRIPT_LEN: usize = 256 << 10;
/// The same from a peer that has dialled us and may be anyone.
pub const MAX_UNAUTHENTICATED_TRANSCRIPT_LEN: usize = 12 << 10;
/// Longest authorizer or authorizer reply in a handshake: Ceph asserts the same bound.
pub const AUTHORIZER_MAX_LEN: u32 = 4096;
/// Longest payload of an `MAuth` that a monitor reads, of a peer that may be anyone: a login is some
/// 100 bytes, and with an old ticket a few hundred.
pub const MAX_AUTH_REQUEST_LEN: usize = 16 << 10;
/// AUTH_REQUESTs on one socket: each but the last was for a method or a mode that is not taken here,
/// and there are few of either.
pub const MAX_AUTH_REQUESTS: u32 = 16;
/// Longest message, its segments together, of a peer that has yet to log in: it may be anyone.
pub const MAX_UNAUTHENTICATED_LEN: usize = 64 << 10;
/// Messages of such a peer that are held at a time, in no more bytes than one may have.
pub const MAX_UNAUTHENTICATED_MESSAGES: usize = 16;
/// Connect replies in one handshake before the peer is taken to be mad. A takeover by a
/// 16.2.15 peer takes seven.
pub const MAX_CONNECT_ROUNDS: u32 = 32;
/// Highest global_seq that a peer may ask to be exceeded: it is our own counter, and one lie
/// must not use it up for all other peers.
pub const MAX_GLOBAL_SEQ: u32 = u32::MAX / 2;
/// Highest connect_seq that a peer of messenger v2 may have: it counts connections, and one lie must
/// not bring the dialler's to its end.
pub const MAX_CONNECT_SEQ: u32 = u32::MAX / 2;
/// Sockets of one listener on which no session is open yet, each with a thread and
/// [`HALF_OPEN_BYTES`]; one more takes the place of an older one.
pub const MAX_HALF_OPEN: usize = 256;
/// Threads beyond [`MAX_HALF_OPEN`], and beyond [`MAX_ACCEPTED`], whose sockets have been closed in
/// favour of others: so many more may come in before they have noticed.
pub const MAX_EVICTED: usize = 64;
/// What such a socket, or a session with nothing in it, costs at most: 16 KiB read ahead, with messenger
/// v2 a frame of [`FRAME_MAX_UNAUTHENTICATED_LEN`] and [`MAX_UNAUTHENTICATED_TRANSCRIPT_LEN`], and what
/// its thread touches of its stack and of the heap. `tests/net_hostile.rs` finds 44 KiB with v1, and 51
/// with v2.
pub const HALF_OPEN_BYTES: usize = 64 << 10;
/// Sessions that one listener keeps, each with a thread; what comes beyond is closed, unless it can
/// take the place of a peer that has yet to log in.
pub const MAX_ACCEPTED: usize = 4096;
/// Bytes of received messages that a messenger holds for all accepted peers that have no throttle
/// of their own: Ceph's `ms_dispatch_throttle_bytes`.
pub const DISPATCH_THROTTLE_BYTES: usize = 100 << 20;
/// The same in messages, for a small one costs more than its bytes.
pub const DISPATCH_THROTTLE_MESSAGES: usize = 64 << 10;
/// Highest number of a message that a peer may claim to have: whatever follows it needs one too.
pub const MAX_SEQ: u64 = u64::MAX / 2;
/// Longest key: type 1 uses 16 bytes, type 2 takes 32 or more.
pub const MAX_KEY_LEN: usize = 256;
/// Longest keyring or ceph.conf that is read.
pub const MAX_CONFIG_LEN: u64 = 4 << 20;
/// Bytes of messages that one connection holds, unsent or unacknowledged, at which `send` begins to
/// wait, and at which a lossy accepted peer is asked for no more. In a callback, which cannot wait,
/// it is twice that. There is no bound over all connections: a listener's is this many times
/// [`MAX_ACCEPTED`], or what its `max_connections` says.
pub const OUT_QUEUE_BYTES: usize = 128 << 20;
/// The same in messages, for an empty one costs some 200 bytes too.
pub const OUT_QUEUE_MESSAGES: usize = 128 << 10;
/// The same in bytes towards a peer that has yet to log in.
pub const UNAUTHENTICATED_OUT_QUEUE_BYTES: usize = 1 << 20;
/// The same in messages.
pub const UNAUTHENTICATED_OUT_QUEUE_MESSAGES: usize = 1 << 10;
/// Longest message that may take the last quarter of a throttle's room, so that peers which announce
/// much and send it slowly leave room for what is short.
pub const SMALL_MESSAGE_LEN: usize = 64 << 10;
/// Bytes that a message must come with each second while others wait for its room.
pub const LEAST_RATE: usize = 1 << 20;
/// Names that one client of a scripted monitor may subscribe to: real ones come to a dozen.
pub const MAX_SUBSCRIPTIONS: usize = 1024;
/// Longest of these names: `mdsmap.` and `kv:` are followed by one that people give.
pub const MAX_SUBSCRIPTION_LEN: usize = 1024;
/// What a scripted daemon remembers of what arrived at it, in things; then the oldest goes.
pub const MAX_ARRIVALS: usize = 4096;
/// The same in bytes of messages, of which the newest may be longer.
pub const MAX_ARRIVAL_BYTES: usize = 16 << 20;
