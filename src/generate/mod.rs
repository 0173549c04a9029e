//! Files for Consul, filled for the machines of one site.
//!
//! The templates are the files under `consul-watches/`; nothing here repeats what they say.
//! [`site`] is what they are filled with, [`template`] how, [`consul_config`] and [`acl`] which.
//! Pure: nothing is read or written here.

pub mod acl;
pub mod consul_config;
pub mod site;
pub mod template;

pub use site::Site;
pub use template::TemplateError;

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name, without a folder.
    pub name: String,
    /// What it holds.
    pub text: String,
}
