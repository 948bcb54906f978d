//! The backends that a program runs on.

use anyhow::Result;
use keyway::crypto::CryptoProvider;

/// The provider that `spec` names (`openssl`, `openssl+records=soft`), or the fastest that
/// is linked.
///
/// # Errors
/// One line that names the unknown part and lists what is linked.
pub(crate) fn provider(spec: Option<&str>) -> Result<CryptoProvider> {
    Ok(match spec {
        Some(spec) => keyway::provider::by_name(spec)?,
        None => keyway::provider::fastest()?,
    })
}

/// The backends of a provider, each once, in the order of its table: `openssl, soft`.
pub(crate) fn names(provider: &CryptoProvider) -> String {
    let mut names: Vec<&str> = Vec::new();
    for row in provider.table().rows {
        if !names.contains(&row.implementation.backend) {
            names.push(row.implementation.backend);
        }
    }
    names.join(", ")
}
