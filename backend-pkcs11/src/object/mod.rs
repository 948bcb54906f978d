//! Objects of a token: the key, its public half, its certificates.

mod certificates;
mod find;
mod public;

pub(crate) use certificates::chain;
pub(crate) use find::{Found, private_key, public_key_handle, secret_key};
pub(crate) use public::{Kind, PublicHalf, public_half};

use cryptoki_sys as sys;
use sys::{CK_ATTRIBUTE_TYPE, CK_OBJECT_HANDLE, CK_SESSION_HANDLE};

use crate::code::Failure;
use crate::low::Value;
use crate::module::Entered;
use crate::uri::{ObjectType, Uri};

/// More objects of one kind than any server has; a bound for what is read.
const MOST: usize = 4096;

/// A session to look around with.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) entered: &'a Entered<'a>,
    pub(crate) session: CK_SESSION_HANDLE,
}

/// What narrows a search within a class.
#[derive(Clone, Copy, Default)]
struct Wanted<'a> {
    label: Option<&'a str>,
    id: Option<&'a [u8]>,
}

impl Look<'_> {
    fn find(
        &self,
        class: sys::CK_OBJECT_CLASS,
        wanted: Wanted<'_>,
    ) -> Result<Vec<CK_OBJECT_HANDLE>, Failure> {
        let mut template = vec![(sys::CKA_CLASS, Value::Number(class))];
        if let Some(label) = wanted.label {
            template.push((sys::CKA_LABEL, Value::Bytes(label.as_bytes())));
        }
        if let Some(id) = wanted.id {
            template.push((sys::CKA_ID, Value::Bytes(id)));
        }
        self.entered.library().find(self.session, &template, MOST)
    }

    fn attribute(
        &self,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> Result<Option<Vec<u8>>, Failure> {
        self.entered.library().attribute(self.session, object, kind)
    }

    /// An attribute that is not there or empty says nothing.
    fn filled(
        &self,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let value = self.attribute(object, kind)?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    fn number(
        &self,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> Result<Option<sys::CK_ULONG>, Failure> {
        let value = self.attribute(object, kind)?;
        let bytes = value.and_then(|value| value.try_into().ok());
        Ok(bytes.map(sys::CK_ULONG::from_ne_bytes))
    }

    fn flag(
        &self,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> Result<Option<bool>, Failure> {
        let value = self.attribute(object, kind)?;
        Ok(value.and_then(|value| value.first().map(|byte| *byte != 0)))
    }

    /// The object as a URI within its token, for messages.
    fn describe(&self, object: CK_OBJECT_HANDLE, object_type: ObjectType) -> String {
        let label = self.filled(object, sys::CKA_LABEL).ok().flatten();
        let uri = Uri {
            object: label.map(|label| String::from_utf8_lossy(&label).into_owned()),
            id: self.filled(object, sys::CKA_ID).ok().flatten(),
            object_type: Some(object_type),
            ..Uri::default()
        };
        uri.to_string()
    }

    fn describe_all(&self, objects: &[CK_OBJECT_HANDLE], object_type: ObjectType) -> Vec<String> {
        // A list in a message need not be longer.
        let some = objects.iter().take(64);
        some.map(|object| self.describe(*object, object_type))
            .collect()
    }
}
