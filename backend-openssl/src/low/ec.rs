//! Points of elliptic curves that are secret.

use std::mem::ManuallyDrop;

use foreign_types::ForeignTypeRef;
use openssl::ec::{EcGroupRef, EcPoint, EcPointRef};
use openssl::error::ErrorStack;
use openssl_sys as ffi;

unsafe extern "C" {
    /// In `<openssl/ec.h>` from 0.9.8 on.
    fn EC_POINT_clear_free(point: *mut ffi::EC_POINT);
}

/// A point that is wiped when dropped; an [`EcPoint`] leaves its coordinates behind.
pub(crate) struct SecretPoint(ManuallyDrop<EcPoint>);

impl SecretPoint {
    /// A point to compute into.
    pub(crate) fn new(group: &EcGroupRef) -> Result<Self, ErrorStack> {
        EcPoint::new(group).map(|point| Self(ManuallyDrop::new(point)))
    }

    pub(crate) fn get(&mut self) -> &mut EcPointRef {
        &mut self.0
    }
}

impl Drop for SecretPoint {
    fn drop(&mut self) {
        // SAFETY: the point is live and ours; `ManuallyDrop` leaves freeing it to this call,
        // after which nothing uses it.
        unsafe { EC_POINT_clear_free(self.get().as_ptr()) };
    }
}
