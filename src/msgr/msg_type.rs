//! Message type numbers that a client or a monitor meets (`src/include/ceph_fs.h`, `src/msg/Message.h`).

macro_rules! types {
    ($($(#[$doc:meta])* $const:ident = $n:literal, $name:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`, ", stringify!($n), ".")]
            $(#[$doc])*
            pub const $const: u16 = $n;
        )*

        /// The name that Ceph's logs use for a type, `None` for one that is not known here.
        pub fn name(msg_type: u16) -> Option<&'static str> {
            Some(match msg_type {
                $($const => $name,)*
                _ => return None,
            })
        }
    };
}

types! {
    CEPH_MSG_SHUTDOWN = 1, "shutdown";
    CEPH_MSG_PING = 2, "ping";

    CEPH_MSG_MON_MAP = 4, "mon_map";
    CEPH_MSG_MON_GET_MAP = 5, "mon_getmap";
    CEPH_MSG_MON_GET_OSDMAP = 6, "mon_get_osdmap";
    CEPH_MSG_STATFS = 13, "statfs";
    CEPH_MSG_STATFS_REPLY = 14, "statfs_reply";
    CEPH_MSG_MON_SUBSCRIBE = 15, "mon_subscribe";
    CEPH_MSG_MON_SUBSCRIBE_ACK = 16, "mon_subscribe_ack";
    CEPH_MSG_AUTH = 17, "auth";
    CEPH_MSG_AUTH_REPLY = 18, "auth_reply";
    CEPH_MSG_MON_GET_VERSION = 19, "mon_get_version";
    CEPH_MSG_MON_GET_VERSION_REPLY = 20, "mon_get_version_reply";

    CEPH_MSG_MDS_MAP = 21, "mdsmap";
    CEPH_MSG_CLIENT_SESSION = 22, "client_session";
    CEPH_MSG_CLIENT_RECONNECT = 23, "client_reconnect";
    CEPH_MSG_CLIENT_REQUEST = 24, "client_request";
    CEPH_MSG_CLIENT_REQUEST_FORWARD = 25, "client_request_forward";
    CEPH_MSG_CLIENT_REPLY = 26, "client_reply";
    CEPH_MSG_CLIENT_RECLAIM = 27, "client_reclaim";
    CEPH_MSG_CLIENT_RECLAIM_REPLY = 28, "client_reclaim_reply";
    CEPH_MSG_CLIENT_METRICS = 29, "client_metrics";

    CEPH_MSG_OSD_MAP = 41, "osd_map";
    CEPH_MSG_OSD_OP = 42, "osd_op";
    CEPH_MSG_OSD_OPREPLY = 43, "osd_op_reply";
    CEPH_MSG_WATCH_NOTIFY = 44, "watch-notify";
    CEPH_MSG_FS_MAP = 45, "fsmap";

    CEPH_MSG_POOLOP_REPLY = 48, "poolopreply";
    CEPH_MSG_POOLOP = 49, "poolop";
    MSG_MON_COMMAND = 50, "mon_command";
    MSG_MON_COMMAND_ACK = 51, "mon_command_ack";
    MSG_LOG = 52, "log";
    MSG_LOGACK = 53, "log_ack";
    MSG_GETPOOLSTATS = 58, "getpoolstats";
    MSG_GETPOOLSTATSREPLY = 59, "getpoolstatsreply";
    CEPH_MSG_OSD_BACKOFF = 61, "osd_backoff";
    MSG_CONFIG = 62, "config";
    MSG_GET_CONFIG = 63, "get_config";

    MSG_OSD_BOOT = 71, "osd_boot";
    MSG_OSD_ALIVE = 73, "osd_alive";

    MSG_MDS_BEACON = 100, "mdsbeacon";

    /// To and from a monitor, an OSD, an MDS; to and from a manager only where `mgr` says so.
    MSG_COMMAND = 97, "command";
    MSG_COMMAND_REPLY = 98, "command_reply";
    CEPH_MSG_FS_MAP_USER = 103, "fsmap.user";

    CEPH_MSG_CLIENT_CAPS = 0x310, "client_caps";
    CEPH_MSG_CLIENT_LEASE = 0x311, "client_lease";
    CEPH_MSG_CLIENT_SNAP = 0x312, "client_snap";
    CEPH_MSG_CLIENT_CAPRELEASE = 0x313, "client_cap_release";
    CEPH_MSG_CLIENT_QUOTA = 0x314, "client_quota";

    MSG_MGR_OPEN = 0x700, "mgropen";
    MSG_MGR_CONFIGURE = 0x701, "mgrconfigure";
    MSG_MGR_REPORT = 0x702, "mgrreport";
    MSG_MGR_MAP = 0x704, "mgrmap";
    MSG_SERVICE_MAP = 0x707, "service_map";
    MSG_MGR_CLOSE = 0x708, "mgrclose";
    MSG_MGR_COMMAND = 0x709, "mgr_command";
    MSG_MGR_COMMAND_REPLY = 0x70a, "mgr_command_reply";
}
