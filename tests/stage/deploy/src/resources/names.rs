//! Names for what the template does not name.

use sha2::{Digest, Sha256};

use super::Site;

/// Most names may hold 64 characters.
const LONGEST: usize = 64;

/// The same stack gives the same name again; AWS gives a random one.
pub(super) fn generated(site: &Site<'_>, logical: &str) -> String {
    let digest = Sha256::digest(format!("{}/{}/{logical}", site.region, site.stack));
    let suffix: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let mut readable = format!("{}-{logical}", site.stack);
    readable.truncate(LONGEST - suffix.len() - 1);
    format!("{readable}-{suffix}")
}
