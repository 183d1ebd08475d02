use std::collections::{BTreeMap, BTreeSet};

use crate::denc::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::types::{EntityAddr, EntityAddrVec, EntityName, Epoch, Features, Fsid, UTime};

/// `mon_feature_t`: VER(1,1) `u64`, features among monitors (`src/mon/mon_types.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonFeatures(pub u64);

impl Encode for MonFeatures {
    fn encode(&self, w: &mut Writer) {
        w.versioned(1, 1, |w| {
            w.u64(self.0);
        });
    }
}

impl Decode for MonFeatures {
    const MIN: usize = 14;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.versioned("mon_feature_t", 1, |r, _| r.u64().map(Self))
    }
}

/// `mon_info_t`: VER(5,1) string name, addrvec (one address before v3); v2: `u16` priority;
/// v4: `u16` weight; v5: map crush_loc (`src/mon/MonMap.cc`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonInfo {
    /// The X of `mon.X`.
    pub name: String,
    /// Where it listens.
    pub public_addrs: EntityAddrVec,
    /// Clients try the monitors with the lowest number first.
    pub priority: u16,
    /// The chance to be tried among those of one priority.
    pub weight: u16,
    /// Where it stands, for stretch mode.
    pub crush_loc: BTreeMap<String, String>,
}

impl MonInfo {
    /// A monitor of that name at these addresses, of no special rank.
    pub fn new(name: impl Into<String>, public_addrs: EntityAddrVec) -> Self {
        Self { name: name.into(), public_addrs, ..Self::default() }
    }

    /// What ranks were sorted by while Ceph still sorted: the address of messenger v1, or else the
    /// first, compared as the bytes of the C struct, and the name.
    fn legacy_rank_key(&self) -> (Vec<u8>, &str) {
        let addrs = &self.public_addrs;
        let addr = addrs.legacy().or_else(|| addrs.0.first().copied()).unwrap_or(EntityAddr::NONE);
        // Type, nonce, length and sockaddr. The length does not disturb the order: a longer
        // address is of a higher family.
        (addr.to_bytes(Features::ALL).split_off(7), &self.name)
    }
}

impl Encode for MonInfo {
    fn encode(&self, w: &mut Writer) {
        let nautilus = w.features().has(Features::SERVER_NAUTILUS);
        w.versioned(if nautilus { 5 } else { 2 }, 1, |w| {
            w.string(&self.name);
            if nautilus {
                w.put(&self.public_addrs);
            } else {
                w.put(&self.public_addrs.legacy().unwrap_or(EntityAddr::NONE));
            }
            w.u16(self.priority);
            if nautilus {
                w.u16(self.weight).put(&self.crush_loc);
            }
        });
    }
}

impl Decode for MonInfo {
    const MIN: usize = 6 + 4 + EntityAddrVec::MIN;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.versioned("mon_info_t", 5, |r, v| {
            Ok(Self {
                name: r.string()?,
                public_addrs: r.get()?,
                priority: if v >= 2 { r.u16()? } else { 0 },
                weight: if v >= 4 { r.u16()? } else { 0 },
                crush_loc: if v >= 5 { r.get()? } else { BTreeMap::new() },
            })
        })
    }
}

/// `MonMap::election_strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElectionStrategy(pub u8);

impl ElectionStrategy {
    /// The lowest rank wins.
    pub const CLASSIC: Self = Self(1);
    /// As classic, but some may not win.
    pub const DISALLOW: Self = Self(2);
    /// Who is connected best wins.
    pub const CONNECTIVITY: Self = Self(3);
}

/// Which cephx key types the monitors allow (the tail of a `MonMap` v10). Numbers are
/// `CEPH_CRYPTO_*`: 1 for `aes`, 2 for `aes256k`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthCiphers {
    /// Raised when the service keys are to be replaced.
    pub epoch: u32,
    /// Of new service keys.
    pub service_cipher: i32,
    /// Of entities that may log in.
    pub allowed_ciphers: BTreeSet<i32>,
    /// Of new entities.
    pub preferred_cipher: i32,
}

/// `MonMap`: the monitors of a cluster (`src/mon/MonMap.cc`).
///
/// VER(9,6): fsid, `u32` epoch, last_changed, created, two `mon_feature_t`, map of name to
/// `mon_info_t`, ranks (list of names); v7: `u8` min_mon_release; v8: set of `u32` removed_ranks,
/// `u8` strategy, set of strings disallowed_leaders; v9: bool stretch_mode_enabled, string
/// tiebreaker_mon, set of strings stretch_marked_down_mons; v10: [`AuthCiphers`].
///
/// v5 (VER(5,3), for peers before nautilus) has a map of name to address in front of last_changed,
/// and no ranks; v3 and v4 have no `mon_info_t`; v1 and v2 are a `u16` and no length, and v1 has a
/// list of `entity_inst_t` for the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonMap {
    /// The cluster.
    pub fsid: Fsid,
    /// Version of the map.
    pub epoch: Epoch,
    /// When this epoch was made.
    pub last_changed: UTime,
    /// When the first one was made.
    pub created: UTime,
    /// Features that every monitor must have from now on.
    pub persistent_features: MonFeatures,
    /// Features that may be lost again.
    pub optional_features: MonFeatures,
    /// The monitors by name.
    pub mon_info: BTreeMap<String, MonInfo>,
    /// Their names by rank.
    pub ranks: Vec<String>,
    /// `ceph_release_t` of the oldest monitor that may join, 0 for not known.
    pub min_mon_release: u8,
    /// Ranks that monitors left since all of them knew this field.
    pub removed_ranks: BTreeSet<u32>,
    /// How a leader is elected.
    pub strategy: ElectionStrategy,
    /// Who may not become leader.
    pub disallowed_leaders: BTreeSet<String>,
    /// Whether the cluster spans two sites and a tiebreaker.
    pub stretch_mode_enabled: bool,
    /// The tiebreaker.
    pub tiebreaker_mon: String,
    /// Monitors that a degraded stretch cluster no longer counts.
    pub stretch_marked_down_mons: BTreeSet<String>,
    /// Present since v10.
    pub auth_ciphers: Option<AuthCiphers>,
}

impl Default for MonMap {
    fn default() -> Self {
        Self {
            fsid: Fsid::default(),
            epoch: Epoch(0),
            last_changed: UTime::default(),
            created: UTime::default(),
            persistent_features: MonFeatures(0),
            optional_features: MonFeatures(0),
            mon_info: BTreeMap::new(),
            ranks: Vec::new(),
            min_mon_release: 0,
            removed_ranks: BTreeSet::new(),
            strategy: ElectionStrategy::CLASSIC,
            disallowed_leaders: BTreeSet::new(),
            stretch_mode_enabled: false,
            tiebreaker_mon: String::new(),
            stretch_marked_down_mons: BTreeSet::new(),
            auth_ciphers: None,
        }
    }
}

impl MonMap {
    /// How many monitors there are.
    pub fn size(&self) -> usize {
        self.mon_info.len()
    }

    /// The monitor of that name.
    pub fn mon(&self, name: &str) -> Option<&MonInfo> {
        self.mon_info.get(name)
    }

    /// The monitor of that rank.
    pub fn mon_of_rank(&self, rank: usize) -> Option<&MonInfo> {
        self.mon(self.ranks.get(rank)?)
    }

    /// The rank of the monitor of that name.
    pub fn rank(&self, name: &str) -> Option<usize> {
        self.ranks.iter().position(|n| n == name)
    }

    /// The rank of the monitor that listens at that address.
    pub fn rank_of_addr(&self, addr: &EntityAddr) -> Option<usize> {
        self.ranks.iter().position(|n| self.mon(n).is_some_and(|m| m.public_addrs.0.contains(addr)))
    }

    /// Adds a monitor, or replaces the one of that name, and ranks all anew.
    pub fn add(&mut self, mon: MonInfo) {
        self.mon_info.insert(mon.name.clone(), mon);
        self.calc_legacy_ranks();
    }

    /// Ranks by address, as every map before nautilus is ranked.
    fn calc_legacy_ranks(&mut self) {
        let mut mons: Vec<_> = self.mon_info.values().collect();
        mons.sort_by_cached_key(|m| m.legacy_rank_key());
        self.ranks = mons.into_iter().map(|m| m.name.clone()).collect();
    }

    fn legacy_mon_addr(&self) -> BTreeMap<String, EntityAddr> {
        let addr = |m: &MonInfo| m.public_addrs.legacy().unwrap_or(EntityAddr::NONE);
        self.mon_info.iter().map(|(name, m)| (name.clone(), addr(m))).collect()
    }

    fn set_legacy_mon_addr(&mut self, mon_addr: BTreeMap<String, EntityAddr>) {
        self.mon_info = mon_addr
            .into_iter()
            .map(|(name, addr)| (name.clone(), MonInfo::new(name, addr.into())))
            .collect();
    }

    /// Of a peer with MONNAMES but without MONENC.
    fn encode_v2(&self, w: &mut Writer) {
        w.u16(2).put(&self.fsid).put(&self.epoch);
        w.put(&self.legacy_mon_addr()).put(&self.last_changed).put(&self.created);
    }

    fn encode_v5(&self, w: &mut Writer) {
        w.versioned(5, 3, |w| {
            w.put(&self.fsid).put(&self.epoch);
            w.put(&self.legacy_mon_addr()).put(&self.last_changed).put(&self.created);
            w.put(&self.persistent_features).put(&self.optional_features).put(&self.mon_info);
        });
    }

    fn decode_body(&mut self, r: &mut Reader<'_>, v: u8) -> Result<(), DecodeError> {
        self.fsid = r.get()?;
        self.epoch = r.get()?;
        let mon_addr = match v {
            1 => {
                let insts: Vec<(EntityName, EntityAddr)> = r.get()?;
                // Such monitors had no names; Ceph calls them "0", "1", ….
                let name = |i| char::from(b'0'.wrapping_add(i as u8)).to_string();
                insts.into_iter().enumerate().map(|(i, (_, addr))| (name(i), addr)).collect()
            }
            2..6 => r.get()?,
            _ => BTreeMap::new(),
        };
        self.last_changed = r.get()?;
        self.created = r.get()?;
        if v >= 4 {
            self.persistent_features = r.get()?;
            self.optional_features = r.get()?;
        }
        if v >= 5 {
            self.mon_info = r.get()?;
        } else {
            self.set_legacy_mon_addr(mon_addr);
        }
        if v >= 6 {
            self.ranks = r.get()?;
        } else {
            self.calc_legacy_ranks();
        }
        if v >= 7 {
            self.min_mon_release = r.u8()?;
        }
        if v >= 8 {
            self.removed_ranks = r.get()?;
            self.strategy = ElectionStrategy(r.u8()?);
            self.disallowed_leaders = r.get()?;
        }
        if v >= 9 {
            self.stretch_mode_enabled = r.bool()?;
            self.tiebreaker_mon = r.string()?;
            self.stretch_marked_down_mons = r.get()?;
        }
        if v >= 10 {
            self.auth_ciphers = Some(AuthCiphers {
                epoch: r.u32()?,
                service_cipher: r.i32()?,
                allowed_ciphers: r.get()?,
                preferred_cipher: r.i32()?,
            });
        }
        Ok(())
    }
}

impl Encode for MonMap {
    fn encode(&self, w: &mut Writer) {
        if !w.features().has(Features::MONENC) {
            return self.encode_v2(w);
        }
        if !w.features().has(Features::SERVER_NAUTILUS) {
            return self.encode_v5(w);
        }
        w.versioned(if self.auth_ciphers.is_some() { 10 } else { 9 }, 6, |w| {
            w.put(&self.fsid).put(&self.epoch).put(&self.last_changed).put(&self.created);
            w.put(&self.persistent_features).put(&self.optional_features);
            w.put(&self.mon_info).put(&self.ranks).u8(self.min_mon_release);
            w.put(&self.removed_ranks).u8(self.strategy.0).put(&self.disallowed_leaders);
            w.bool(self.stretch_mode_enabled).string(&self.tiebreaker_mon);
            w.put(&self.stretch_marked_down_mons);
            if let Some(auth) = &self.auth_ciphers {
                w.u32(auth.epoch).i32(auth.service_cipher);
                w.put(&auth.allowed_ciphers).i32(auth.preferred_cipher);
            }
        });
    }
}

impl Decode for MonMap {
    const MIN: usize = 2 + 16 + 4 + 4 + 8 + 8;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut map = Self::default();
        match r.peek_u8()? {
            0 => return Err(r.what("MonMap").error(DecodeErrorKind::TooOld(0))),
            v @ 1..3 => {
                r.u16()?;
                map.decode_body(r, v)?;
            }
            _ => r.versioned("MonMap", 10, |r, v| map.decode_body(r, v))?,
        }
        Ok(map)
    }
}
