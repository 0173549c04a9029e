//! The body of an answer: bounded, unpacked, without a byte order mark.

use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};

/// The largest answer, also unpacked. A system resource has some 10 KiB.
const MAX_BYTES: usize = 1024 * 1024;

const MARK: &[u8] = b"\xef\xbb\xbf";

/// What came so far.
pub(super) struct Body(Vec<u8>);

impl Body {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// One piece more.
    ///
    /// # Errors
    /// It is too much.
    pub(super) fn add(&mut self, piece: &[u8]) -> Result<(), String> {
        if self.0.len() + piece.len() > MAX_BYTES {
            return Err(too_large());
        }
        self.0.extend_from_slice(piece);
        Ok(())
    }

    /// As it was before it was packed for the way.
    ///
    /// # Errors
    /// It is packed in a way that nobody here knows, is broken, or is too much.
    pub(super) fn plain(self, coding: Option<&str>) -> Result<Vec<u8>, String> {
        let coding = coding.map(|coding| coding.trim().to_ascii_lowercase());
        let bytes = match coding.as_deref() {
            None | Some("" | "identity") => self.0,
            // Nothing of it is packed nothing.
            Some("gzip" | "x-gzip" | "deflate") if self.0.is_empty() => self.0,
            Some("gzip" | "x-gzip") => unpacked(MultiGzDecoder::new(self.0.as_slice()))?,
            Some("deflate") => unpacked(ZlibDecoder::new(self.0.as_slice()))?,
            Some(other) => {
                let other: String = other.chars().filter(char::is_ascii_graphic).take(20).collect();
                return Err(format!("it is packed as {other:?}, which was not asked for"));
            }
        };
        Ok(bytes.strip_prefix(MARK).map(<[u8]>::to_vec).unwrap_or(bytes))
    }
}

fn too_large() -> String {
    format!("it is larger than {MAX_BYTES} bytes")
}

fn unpacked(reader: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes).map_err(|error| format!("it cannot be unpacked: {error}"))?;
    if bytes.len() > MAX_BYTES { Err(too_large()) } else { Ok(bytes) }
}

/// Where a document says that it is.
pub(super) fn id_of(bytes: &[u8]) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    document.get("@odata.id")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn body(bytes: &[u8]) -> Body {
        let mut body = Body::new();
        body.add(bytes).unwrap();
        body
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn what_was_packed_on_the_way_is_what_it_was() {
        let text = br#"{"PowerState":"Off"}"#;
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(text).unwrap();
        let marked = [MARK, text].concat();
        for (bytes, coding) in [
            (text.to_vec(), None),
            (text.to_vec(), Some("identity")),
            (marked.clone(), None),
            (gzip(text), Some("gzip")),
            (gzip(text), Some(" X-GZIP")),
            (gzip(&marked), Some("gzip")),
            (zlib.finish().unwrap(), Some("deflate")),
        ] {
            assert_eq!(body(&bytes).plain(coding).unwrap(), text, "{coding:?}");
        }
        assert!(body(b"").plain(Some("gzip")).unwrap().is_empty());
    }

    #[test]
    fn a_bomb_and_what_nobody_can_unpack_are_refused_in_words() {
        let bomb = gzip(&vec![b' '; 64 * MAX_BYTES]);
        assert!(bomb.len() < MAX_BYTES);
        assert!(body(&bomb).plain(Some("gzip")).unwrap_err().contains("larger than"));
        assert!(body(b"plain").plain(Some("gzip")).unwrap_err().contains("unpacked"));
        assert!(body(b"x").plain(Some("br\x1b[31m")).unwrap_err().contains("packed as"));
        assert!(Body::new().add(&vec![0; MAX_BYTES + 1]).is_err());
    }
}
