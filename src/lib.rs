//! The Ceph messenger for programs without an async runtime.
