//! [`pair`](crate::pair) with messenger v2.

use ceph_msgr::types::AddrType;

use crate::pair;

/// The target.
pub fn run(data: &[u8]) {
    pair::run(AddrType::MSGR2, data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_with_all_options() {
        pair::must_carry_with_all_options(AddrType::MSGR2);
    }
}
