//! What the tree may say to no fence agent, whatever root says: the value would still be the tree's.

use std::collections::BTreeMap;

/// Options whose value an agent puts into a command line of its own.
///
/// Source: fencing.py (ssh, gnutls-cli), `fence_ipmilan`, `fence_amt` and `fence_ironic` of fence-agents 4.12: each splits
/// that line at blanks, so `-oProxyCommand=...` as a user name is an option of ssh.
const IN_A_COMMAND_LINE: [&str; 12] = [
    "ip",
    "ipaddr",
    "ipport",
    "username",
    "login",
    "target",
    "auth",
    "cipher",
    "privlvl",
    "hexadecimal_kg",
    "ipmitool_timeout",
    "boot_option",
];

/// An option as it is listed: agents take `-` for `_`.
pub fn listed(option: &str) -> String {
    option.replace('-', "_")
}

/// Whether this can be the name of a fence agent.
///
/// # Errors
/// Why it cannot.
pub fn name(text: &str) -> Result<(), String> {
    let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match text.strip_prefix("fence_").is_some_and(|rest| !rest.is_empty() && rest.chars().all(small)) {
        true => Ok(()),
        false => Err("the name of a fence agent is fence_ and then a-z 0-9 _".to_owned()),
    }
}

/// Whether the tree may say this option of an agent at all: what it does is decided here, and which programs and files of the
/// HA node it uses, and as whom, is the HA node's own. Whoever may write a device's settings is not root on every HA node.
///
/// # Errors
/// Why it may not.
pub fn may_be_set(option: &str) -> Result<(), String> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if option.is_empty() || !option.chars().all(known) {
        return Err(format!("{option:?} is no option: A-Z a-z 0-9 _ - ."));
    }
    let name = listed(option).to_ascii_lowercase();
    if matches!(name.as_str(), "action" | "option" | "o" | "method") {
        return Err(format!("{option} may not be set: what an agent does is decided here"));
    }
    let is_local = ["_path", "_file", "_script"].iter().any(|end| name.ends_with(end))
        || name.contains("debug")
        || name.contains("sudo")
        || name.starts_with("runon")
        || matches!(name.as_str(), "ssh_options" | "exec" | "logfile");
    match is_local {
        true => Err(format!(
            "{option} may not be set: it says what is run, read or written on the HA node, and as whom \
             (no *_path, *_file, *_script, *debug*, *sudo*, ssh_options, exec, runon*, logfile)"
        )),
        false => Ok(()),
    }
}

/// Whether an option may have this value: agents put some into command lines. `all` are all options of the level, without
/// its secrets.
///
/// # Errors
/// Why it may not.
pub fn may_have(option: &str, value: &str, all: &BTreeMap<String, String>) -> Result<(), String> {
    let name = listed(option);
    let is_the_address = || all.keys().any(|other| listed(other) == "port_as_ip");
    let is_a_word = IN_A_COMMAND_LINE.contains(&name.as_str())
        || (matches!(name.as_str(), "plug" | "port") && is_the_address());
    let is_option = value.starts_with(['-', '\'', '"', '\\']);
    if is_a_word && (is_option || value.chars().any(|c| c.is_whitespace() || c.is_control())) {
        // The value is not shown: somebody may have written a password into it.
        return Err(format!(
            "the value of {option} may not begin with - or a quote, nor hold a blank: an agent would take it for an \
             option of the program that it runs"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_runs_reads_or_writes_something_is_never_the_trees() {
        for bad in [
            "",
            "a=b",
            "action",
            "ipmitool_path",
            "ssh-path",
            "identity_file",
            "password_script",
            "passwd-script",
            "snmp_priv_passwd_script",
            "debug",
            "boto3_debug",
            "use_sudo",
            "SUDO",
            "ssh-options",
            "exec",
            "runonfail",
            "runonwarn",
            "logfile",
        ] {
            assert!(may_be_set(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_value_becomes_an_option_of_the_program_that_an_agent_runs() {
        let of = |pairs: &[(&str, &str)]| -> Result<(), String> {
            let all: BTreeMap<String, String> =
                pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            all.iter().try_for_each(|(key, value)| may_have(key, value, &all))
        };
        for bad in [
            &[("username", "-oProxyCommand=evil")][..],
            &[("login", "x -oProxyCommand=evil")],
            &[("ip", "'-oProxyCommand=evil'")],
            &[("target", "0x20 -f /etc/shadow")],
            &[("hexadecimal-kg", "00\t-f")],
            &[("plug", "10.0.0.1 -f /etc/shadow"), ("port_as_ip", "1")],
        ] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
        for good in [
            &[("username", "DOMAIN\\admin"), ("ip", "10.0.0.1"), ("plug", "my guest")][..],
            &[("ip", "fe80::1"), ("command_prompt", "apc> ")],
        ] {
            assert_eq!(of(good), Ok(()), "{good:?}");
        }
    }
}
