use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use crate::auth::ConMode;
use crate::types::{
    AddrType, EntityAddr, EntityAddrVec, EntityName, EntityType, Features, GlobalSeq, Msgr, NoAddr,
};

/// Switches of a messenger that hold for all its connections.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Compute and check the crc of message data (`ms_crc_data`, the kernel's `nocrc`).
    pub crc_data: bool,
    /// Sign messages and check signatures where the session has a key (`cephx_sign_messages`).
    pub sign_messages: bool,
    /// Which messenger is spoken with whom this side dials by its address vector.
    pub msgr: Msgr,
    /// How the frames of messenger v2 may be kept from harm on a connection with a monitor, the best
    /// first (`ms_mon_client_mode` and its kin).
    pub mon_modes: &'static [ConMode],
    /// The same on all other connections (`ms_client_mode` and its kin).
    pub modes: &'static [ConMode],
    /// Features offered to peers.
    pub supported: Features,
    /// Features without which a peer is refused.
    pub required: Features,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            crc_data: true,
            sign_messages: true,
            msgr: Msgr::Auto,
            mon_modes: &[ConMode::Secure, ConMode::Crc],
            modes: &[ConMode::Crc, ConMode::Secure],
            supported: Features::SUPPORTED,
            required: Features::NONE,
        }
    }
}

impl Options {
    /// The modes of a connection between entities of these types, the best first.
    pub fn con_modes(&self, own: EntityType, peer: EntityType) -> &'static [ConMode] {
        match [own, peer].contains(&EntityType::MON) {
            true => self.mon_modes,
            false => self.modes,
        }
    }

    /// Where an entity of type `own` may dial a peer of type `peer` that has these addresses, the best
    /// first; not empty. Messenger v1 keeps nobody from reading along, so it is spoken only where
    /// crc mode would be allowed too.
    pub fn candidates(
        &self,
        own: EntityType,
        peer: EntityType,
        addrs: &EntityAddrVec,
    ) -> Result<Vec<EntityAddr>, NoAddr> {
        if self.con_modes(own, peer).contains(&ConMode::Crc) {
            return addrs.candidates(self.msgr);
        }
        match (self.msgr, addrs.candidates(Msgr::V2)) {
            (Msgr::V1, _) => Err(NoAddr::V1NotSecure),
            (Msgr::Auto, Err(_)) if addrs.legacy().is_some() => {
                Err(NoAddr::NotSecure(addrs.clone()))
            }
            (_, candidates) => candidates,
        }
    }

    /// The best of these.
    pub fn choose(
        &self,
        own: EntityType,
        peer: EntityType,
        addrs: &EntityAddrVec,
    ) -> Result<EntityAddr, NoAddr> {
        self.candidates(own, peer, addrs)?.first().copied().ok_or(NoAddr::None)
    }
}

/// Where this side is.
#[derive(Debug)]
struct Addrs {
    /// The address, as far as it is known: its IP is learned from the first peer.
    addr: EntityAddr,
    /// All at which it listens, of either protocol.
    listens: Vec<EntityAddr>,
}

/// Who this side is: what all connections of one messenger share.
#[derive(Debug)]
pub struct Local {
    entity_type: EntityType,
    num: AtomicI64,
    addrs: Mutex<Addrs>,
    global_seq: AtomicU32,
    /// Switches for all connections.
    pub options: Options,
}

impl Local {
    /// An instance with this nonce, which must differ from that of every other instance at the
    /// same IP address.
    pub fn new(entity_type: EntityType, nonce: u32, options: Options) -> Self {
        let addr = EntityAddr { nonce, addr_type: AddrType::LEGACY, sockaddr: None };
        Self {
            entity_type,
            num: AtomicI64::new(EntityName::NEW),
            addrs: Mutex::new(Addrs { addr, listens: Vec::new() }),
            global_seq: AtomicU32::new(0),
            options,
        }
    }

    /// Takes the addresses at which this side listens; messenger v1 sends the first of its own, or the
    /// first.
    pub fn set_addrs(&self, addrs: &[EntityAddr]) {
        let mut all = self.lock();
        let nonce = all.addr.nonce;
        all.listens = addrs.iter().map(|addr| EntityAddr { nonce, ..*addr }).collect();
        // Of two protocols, each has its own port, and v2 comes first.
        all.listens.sort_by_key(|addr| addr.addr_type != AddrType::MSGR2);
        let legacy = addrs.iter().find(|addr| addr.addr_type == AddrType::LEGACY);
        all.addr.sockaddr = legacy.or_else(|| addrs.first()).and_then(|addr| addr.sockaddr);
    }

    fn lock(&self) -> MutexGuard<'_, Addrs> {
        self.addrs.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The name that goes into the header of every message.
    pub fn name(&self) -> EntityName {
        EntityName::new(self.entity_type, self.num.load(Relaxed))
    }

    /// Sets the number in the name: a client's is its global_id.
    pub fn set_num(&self, num: i64) {
        self.num.store(num, Relaxed);
    }

    /// The address as this side sends it with messenger v1.
    pub fn addr(&self) -> EntityAddr {
        self.lock().addr
    }

    /// The addresses as this side sends them with messenger v2: those at which it listens, or that of a
    /// client.
    pub fn addrs(&self) -> EntityAddrVec {
        let all = self.lock();
        if all.listens.is_empty() {
            return EntityAddr { addr_type: AddrType::ANY, ..all.addr }.into();
        }
        EntityAddrVec(all.listens.iter().map(|addr| addr.with_ip_of(all.addr)).collect())
    }

    /// The same, as one sees them that has reached this side at `own`: where it listens at every
    /// address of its machine, it is that one. It is there even where the addresses are those of
    /// another listener.
    pub fn addrs_by(&self, own: EntityAddr) -> EntityAddrVec {
        let listens = self.lock().listens.clone();
        let mut all: Vec<_> = listens.into_iter().map(|addr| addr.with_ip_of(own)).collect();
        let at = |addr: &EntityAddr| (addr.addr_type, addr.sockaddr.map(|a| (a.ip(), a.port())));
        if all.iter().all(|addr| at(addr) != at(&own)) {
            all.insert(0, own);
        }
        EntityAddrVec(all)
    }

    /// Takes the IP address that a peer sees this side at, if none is known. The port stays the one
    /// at which this side listens, 0 for a client.
    pub fn learn_addr(&self, seen: EntityAddr) {
        let mut all = self.lock();
        let addr = &mut all.addr;
        if addr.is_blank_ip()
            && let Some(mut sockaddr) = seen.sockaddr.filter(|_| !seen.is_blank_ip())
        {
            sockaddr.set_port(addr.port());
            addr.sockaddr = Some(sockaddr);
            log::debug!("learned my address {addr}");
        }
    }

    /// A new global_seq, above every one before and above `gt` (`ceph_messenger::get_global_seq`).
    pub fn global_seq(&self, gt: GlobalSeq) -> GlobalSeq {
        let mut new = 0;
        let next = |own: u32| {
            new = own.max(gt.0).wrapping_add(1);
            Some(new)
        };
        let _ = self.global_seq.fetch_update(Relaxed, Relaxed, next);
        GlobalSeq(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_seq_grows_and_jumps_over_what_the_peer_saw() {
        let local = Local::new(EntityType::CLIENT, 1, Options::default());
        assert_eq!(local.global_seq(GlobalSeq(0)), GlobalSeq(1));
        assert_eq!(local.global_seq(GlobalSeq(500)), GlobalSeq(501));
        assert_eq!(local.global_seq(GlobalSeq(7)), GlobalSeq(502));
    }

    #[test]
    fn the_address_is_learned_once_and_without_a_port() {
        let local = Local::new(EntityType::CLIENT, 9, Options::default());
        local.learn_addr("v1:0.0.0.0:5/0".parse().unwrap());
        assert!(local.addr().is_blank_ip());
        local.learn_addr("v1:10.0.0.1:5/0".parse().unwrap());
        local.learn_addr("v1:10.0.0.2:5/0".parse().unwrap());
        assert_eq!(local.addr().to_string(), "v1:10.0.0.1:0/9");

        let local = Local::new(EntityType::OSD, 9, Options::default());
        local.set_addrs(&["v1:0.0.0.0:6800".parse().unwrap()]);
        local.learn_addr("v1:10.0.0.1:5/0".parse().unwrap());
        assert_eq!(local.addr().to_string(), "v1:10.0.0.1:6800/9", "it listens there");
    }

    #[test]
    fn messenger_v1_is_not_spoken_where_only_secure_mode_is_allowed() {
        let (v2, v1) = ("v2:10.0.0.1:3300/0", "v1:10.0.0.1:6789/0");
        let addrs = |texts: &[&str]| {
            EntityAddrVec(texts.iter().map(|text| text.parse().unwrap()).collect())
        };
        let secure: &[ConMode] = &[ConMode::Secure];
        let dialled = |msgr, mon_modes, peer, texts: &[&str]| {
            let options = Options { msgr, mon_modes, ..Options::default() };
            match options.candidates(EntityType::CLIENT, peer, &addrs(texts)) {
                Ok(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                Err(e) => e.to_string(),
            }
        };
        let (mon, osd) = (EntityType::MON, EntityType::OSD);
        let either = Options::default().mon_modes;
        assert_eq!(dialled(Msgr::Auto, either, mon, &[v2, v1]), format!("{v2} {v1}"));
        assert_eq!(dialled(Msgr::Auto, secure, mon, &[v2, v1]), v2);
        // It is the monitors alone that must be secure here.
        assert_eq!(dialled(Msgr::Auto, secure, osd, &[v2, v1]), format!("{v2} {v1}"));
        assert_eq!(dialled(Msgr::V1, secure, osd, &[v2, v1]), v1);
        assert_eq!(
            dialled(Msgr::Auto, secure, mon, &[v1]),
            format!("no address of messenger v2, only {v1}: messenger v1 has no secure mode")
        );
        assert_eq!(
            dialled(Msgr::V2, secure, mon, &[v1]),
            format!("no address of messenger v2, only {v1}")
        );
        assert_eq!(
            dialled(Msgr::V1, secure, mon, &[v2, v1]),
            "no address to dial: messenger v1 has no secure mode, and no other is allowed"
        );
        assert_eq!(dialled(Msgr::Auto, secure, mon, &[]), "no address");
    }
}
