//! Encodings made by Ceph itself (ceph-object-corpus), against what `ceph-dencoder` says of them.
//!
//! Looked for in `$CEPH_CORPUS`, or in `../shared/corpus` beside the checkout, as
//! `RELEASE/TYPE/NAME` with `NAME.json` beside it; skipped, and said so, where there is neither.

mod maps;
mod messages;
mod support;
