//! How a port proves that prosed is behind it, before a client sends it the token.
//!
//! Any user of the machine can listen on a port that the daemon has left. So a client first sends a random nonce to
//! [`PATH`], in the header [`NONCE_HEADER`]. Only a program with the token can [`answer`]. The answer is bound to the
//! daemon's address: if the nonce is relayed to a daemon that listens elsewhere, the answer is wrong here.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Where challenges are answered, with `GET`.
pub const PATH: &str = "/challenge";

/// The header with the nonce. A page can set it only if its origin is listed (CORS).
pub const NONCE_HEADER: &str = "prosed-nonce";

/// Separates the answer from any other use of the token as a key.
const CONTEXT: &str = "prosed challenge 1";

/// Whether a nonce is valid: 16 to 64 bytes, in hexadecimal.
pub fn is_nonce(nonce: &str) -> bool {
    (32..=128).contains(&nonce.len()) && nonce.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The answer of the daemon that listens on `address`: HMAC-SHA-256 (RFC 2104), keyed with the token as in its file,
/// over the lines `prosed challenge 1`, the address (`127.0.0.1:5299`, `[::1]:5299`) and the nonce as received,
/// without a final line end. In lower-case hexadecimal.
///
/// It may be compared in any way: it is worthless for the next nonce.
pub fn answer(token: &str, address: SocketAddr, nonce: &str) -> String {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{CONTEXT}\n{address}\n{nonce}").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "dG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tdG8";
    const NONCE: &str = "00112233445566778899aabbccddeeff";

    /// The clients in other languages compute the same: their tests include this example.
    #[test]
    fn the_answer_depends_on_token_address_and_nonce() {
        let address: SocketAddr = "127.0.0.1:5299".parse().unwrap();
        let right = answer(TOKEN, address, NONCE);
        assert_eq!(right, "89499e9b68928ca70f1af1748ebb7e9d87b547935bfacbbdd68410b089e48da0");
        assert_ne!(answer("guess", address, NONCE), right);
        assert_ne!(answer(TOKEN, address, &NONCE.replace('0', "1")), right);
        for other in ["127.0.0.1:5298", "127.0.0.2:5299", "[::1]:5299"] {
            assert_ne!(answer(TOKEN, other.parse().unwrap(), NONCE), right, "{other}");
        }
    }

    #[test]
    fn a_nonce_is_bounded() {
        assert!(is_nonce(NONCE) && is_nonce(&NONCE.repeat(4)));
        for wrong in ["", &NONCE[1..], &NONCE.repeat(5), &NONCE.replace('f', "g"), &NONCE.replace('f', "\n")]
        {
            assert!(!is_nonce(wrong), "{wrong:?}");
        }
    }
}
