//! CRC-32C as Ceph computes it (`src/include/crc32c.h`): the raw register, with no inversion
//! before or after, so that runs can be chained.

use crc_fast::{CrcAlgorithm, Digest};

/// The CRC-32C register after `data`, from the register `seed`. Messenger v1 starts at 0.
///
/// ```
/// assert_eq!(ceph_msgr::crc32c::ceph_crc32c(0, b"123456789"), 0x58e3_fa20);
/// ```
pub fn ceph_crc32c(seed: u32, data: &[u8]) -> u32 {
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, seed.into());
    digest.update(data);
    digest.get_state() as u32
}

#[cfg(test)]
mod tests {
    use super::ceph_crc32c;

    #[test]
    fn the_check_values_of_both_seeds() {
        assert_eq!(ceph_crc32c(0, b"123456789"), 0x58e3_fa20);
        assert_eq!(ceph_crc32c(u32::MAX, b"123456789"), 0x1cf9_6d7c);
    }

    #[test]
    fn nothing_and_zeros_leave_a_register_of_zero() {
        assert_eq!(ceph_crc32c(0, b""), 0);
        assert_eq!(ceph_crc32c(0, &[0; 1000]), 0);
        assert_eq!(ceph_crc32c(7, b""), 7);
    }

    #[test]
    fn runs_chain() {
        let data: Vec<u8> = (0..5000).map(|i| (i * 7) as u8).collect();
        for cut in [0, 1, 15, 16, 17, 4095, 5000] {
            assert_eq!(
                ceph_crc32c(ceph_crc32c(9, &data[..cut]), &data[cut..]),
                ceph_crc32c(9, &data)
            );
        }
    }
}
