//! Headers as bytes, as `qemu-img create` lays them out, and as it never would.

/// A header to be written.
#[derive(Debug, Clone)]
pub(crate) struct Example {
    pub(crate) version: u32,
    pub(crate) cluster_bits: u32,
    pub(crate) features: u64,
    pub(crate) extensions: Vec<(u32, Vec<u8>)>,
    pub(crate) backing: Option<Vec<u8>>,
}

pub(crate) const RAW: &[u8] = b"raw";

/// Version 3, as qemu-img has made it since 2014, with nothing beside it.
pub(crate) fn alone() -> Example {
    Example { version: 3, cluster_bits: 16, features: 0, extensions: Vec::new(), backing: None }
}

/// An overlay of a file of this name, whose format is said or not.
pub(crate) fn over(name: &[u8], format: Option<&[u8]>) -> Example {
    let extensions = format.map(|format| (0xe279_2aca, format.to_vec())).into_iter().collect();
    Example { extensions, backing: Some(name.to_vec()), ..alone() }
}

impl Example {
    /// The first cluster.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length: usize = if self.version == 2 { 72 } else { 104 };
        let mut header = vec![0; length];
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(place) = header.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        put(0, b"QFI\xfb");
        put(4, &self.version.to_be_bytes());
        put(20, &self.cluster_bits.to_be_bytes());
        put(24, &(1_u64 << 30).to_be_bytes());
        put(72, &self.features.to_be_bytes());
        put(96, &4_u32.to_be_bytes());
        put(100, &u32::try_from(length).unwrap().to_be_bytes());
        for (kind, data) in &self.extensions {
            header.extend(kind.to_be_bytes());
            header.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
            header.extend(data);
            header.resize(header.len().next_multiple_of(8), 0);
        }
        header.extend([0; 8]);
        if let Some(name) = &self.backing {
            let at = u64::try_from(header.len()).unwrap();
            header[8..16].copy_from_slice(&at.to_be_bytes());
            header[16..20].copy_from_slice(&u32::try_from(name.len()).unwrap().to_be_bytes());
            header.extend(name);
        }
        header.resize(header.len().max(1 << self.cluster_bits.min(21)), 0);
        header
    }
}
