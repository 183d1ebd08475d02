//! Random bytes of the kernel.
//!
//! By the system call itself: the `getrandom` crate looks for libc's function at run time, and a
//! static binary has none to be found. It then reads /dev/urandom, which an empty chroot does not
//! have either.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::CryptoError;

/// An array of random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], CryptoError> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

/// Fills all of it; waits, early in the life of a machine, until there is randomness to be had.
pub(crate) fn fill_random(mut rest: &mut [u8]) -> Result<(), CryptoError> {
    while !rest.is_empty() {
        match getrandom(&mut *rest, GetRandomFlags::empty()) {
            // A signal cuts long reads short.
            Ok(n) => rest = rest.get_mut(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return Err(CryptoError::NoRandom),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filled_to_the_end() {
        fill_random(&mut []).unwrap();
        let mut long = vec![0; 5 << 20];
        fill_random(&mut long).unwrap();
        assert!(long.chunks(64).all(|chunk| chunk.iter().any(|&byte| byte != 0)));
        assert_ne!(random::<16>().unwrap(), random::<16>().unwrap());
    }
}
