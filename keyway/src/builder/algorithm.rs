//! Algorithms by code point or by name.

use crypto_api::{CipherSuite, CryptoProvider, NamedGroup, SignatureScheme};

use crate::SetupError;

/// A cipher suite, a group or a signature scheme, by its code point or by its registered name.
/// The case of a name's letters does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm<T> {
    /// By code point.
    Id(T),
    /// By name.
    Name(String),
}

impl<T> From<&str> for Algorithm<T> {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl<T> From<String> for Algorithm<T> {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<CipherSuite> for Algorithm<CipherSuite> {
    fn from(id: CipherSuite) -> Self {
        Self::Id(id)
    }
}

impl From<NamedGroup> for Algorithm<NamedGroup> {
    fn from(id: NamedGroup) -> Self {
        Self::Id(id)
    }
}

impl From<SignatureScheme> for Algorithm<SignatureScheme> {
    fn from(id: SignatureScheme) -> Self {
        Self::Id(id)
    }
}

/// The three kinds of code points.
pub(super) trait CodePoint: Copy {
    fn from_name(name: &str) -> Option<Self>;

    /// The names that the provider supplies.
    fn supplied(provider: &CryptoProvider) -> Vec<String>;
}

impl CodePoint for CipherSuite {
    fn from_name(name: &str) -> Option<Self> {
        Self::from_name(name)
    }

    fn supplied(provider: &CryptoProvider) -> Vec<String> {
        let suites = provider.suites.iter();
        suites.map(|suite| suite.id.to_string()).collect()
    }
}

impl CodePoint for NamedGroup {
    fn from_name(name: &str) -> Option<Self> {
        Self::from_name(name)
    }

    fn supplied(provider: &CryptoProvider) -> Vec<String> {
        let groups = provider.groups.iter();
        groups.map(|group| group.id().to_string()).collect()
    }
}

impl CodePoint for SignatureScheme {
    fn from_name(name: &str) -> Option<Self> {
        Self::from_name(name)
    }

    /// Those that verify a handshake: others are of no use to the option.
    fn supplied(provider: &CryptoProvider) -> Vec<String> {
        let schemes = provider.verification_schemes().into_iter();
        schemes
            .filter(|scheme| scheme.allowed_in_handshake())
            .map(|scheme| scheme.to_string())
            .collect()
    }
}

/// The code points of `algorithms`, whether or not the provider supplies them.
pub(super) fn resolve<T: CodePoint>(
    option: &'static str,
    algorithms: &[Algorithm<T>],
    provider: &CryptoProvider,
) -> Result<Vec<T>, SetupError> {
    if algorithms.is_empty() {
        return Err(SetupError::Empty { option });
    }
    algorithms
        .iter()
        .map(|algorithm| match algorithm {
            Algorithm::Id(id) => Ok(*id),
            Algorithm::Name(name) => {
                T::from_name(name).ok_or_else(|| SetupError::UnknownAlgorithm {
                    option,
                    asked: name.clone(),
                    supplied: T::supplied(provider),
                })
            }
        })
        .collect()
}
