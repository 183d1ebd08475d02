#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ceph_msgr_fuzz::targets::v2_connection::run(data));
