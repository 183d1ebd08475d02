//! The bytes that libFuzzer made up, taken from the front as decisions. What is not there is zero,
//! so that every prefix of an input is one too.

/// What is left of an input.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// Whether nothing is left: time to stop.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `n` bytes, or as many as there are.
    pub fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        head
    }

    /// `u8` length and as many bytes.
    pub fn chunk(&mut self) -> &'a [u8] {
        let n = self.u8();
        self.bytes(n.into())
    }

    /// `u16` length, little-endian, and as many bytes.
    pub fn long_chunk(&mut self) -> &'a [u8] {
        let n = self.u16();
        self.bytes(n.into())
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let bytes = self.bytes(N);
        out[..bytes.len()].copy_from_slice(bytes);
        out
    }

    /// One byte.
    pub fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// A byte's lowest bit.
    pub fn bool(&mut self) -> bool {
        self.u8() & 1 != 0
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A number that is `usual` as a rule: `u8` 0 for it, 1 to 8 for what is near, else a `u64`.
    pub fn near(&mut self, usual: u64) -> u64 {
        match self.u8() {
            0 => usual,
            n @ 1..=4 => usual.wrapping_add(n.into()),
            n @ 5..=8 => usual.wrapping_sub(u64::from(n) - 4),
            _ => self.u64(),
        }
    }

    /// `bytes`, changed as the input says: `u8` how often, and each time `u16` where and `u8` what
    /// is flipped there. Tells whether anything has changed.
    pub fn damage(&mut self, bytes: &mut [u8]) -> bool {
        let mut changed = false;
        for _ in 0..self.u8() % 8 {
            let (at, flip) = (usize::from(self.u16()), self.u8());
            if let Some(b) = at.checked_rem(bytes.len()).and_then(|at| bytes.get_mut(at)) {
                *b ^= flip;
                changed |= flip != 0;
            }
        }
        changed
    }
}
