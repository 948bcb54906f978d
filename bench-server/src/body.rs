//! Bodies of HTTP messages.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// What a message carries.
#[derive(Debug)]
pub(crate) enum Content {
    /// A text, whole; empty once it was taken.
    Text(Bytes),
    /// This many bytes are still to come.
    Bytes(u64),
}

impl Content {
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(text.into())
    }

    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self::Bytes(0)
    }
}

/// What [`Content::Bytes`] hands out again and again: four full records.
pub(crate) static CHUNK: [u8; 65_536] = [b'k'; 65_536];

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut *self {
            Self::Text(text) => std::mem::take(text),
            Self::Bytes(left) => {
                let now = (*left).min(CHUNK.len() as u64);
                *left -= now;
                // At most the length of the chunk, by the line above.
                Bytes::from_static(&CHUNK[..now as usize])
            }
        };
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Bytes(left) => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Text(text) => text.len() as u64,
            Self::Bytes(left) => *left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn bytes_are_as_many_as_promised() {
        for count in [0, 1, 65_536, 65_537, 200_000] {
            let body = Content::Bytes(count);
            assert_eq!(body.size_hint().exact(), Some(count));
            let got = body.collect().await.unwrap().to_bytes();
            assert_eq!(got.len() as u64, count);
        }
        let text = Content::text("hello").collect().await.unwrap().to_bytes();
        assert_eq!(text, "hello");
    }
}
