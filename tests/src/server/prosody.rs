//! Prosody: its configuration, and its accounts and rosters in its own file format.

use std::fmt::Write;
use std::io::Result;
use std::path::Path;

use super::{Passwords, Server, roster_name};
use crate::certificates;
use crate::process::Process;

pub(super) fn launch(server: &Server) -> Result<Process> {
    let folder = server.folder();
    let config = server.write("prosody.cfg.lua", &configuration(server))?;
    server.write("modules/mod_prosed_sasl2.lua", include_str!("mod_prosed_sasl2.lua"))?;
    if !folder.join("data").exists() {
        write_data(server)?;
    }
    Process::spawn(Path::new("/usr/bin/prosody"), &folder.join("prosody.log"), |command| {
        command
            .arg("--config")
            .arg(config)
            .arg("-F")
            .current_dir(folder)
            .env("PROSODY_DATADIR", folder.join("data"));
    })
}

/// SASL2 and all that goes with it, in Prosody's configuration.
const SASL2: &str = r#""sasl2", "sasl2_bind2", "sasl2_sm", "sasl2_fast", "prosed_sasl2","#;

fn configuration(server: &Server) -> String {
    let folder = server.folder().display();
    let (certificate, key) =
        (server.certificates.certificate_pem.display(), server.certificates.key_pem.display());
    let (domain, port, direct_port, extra) =
        (server.domain, server.port, server.direct_port, &server.setup.config);
    let sasl2 = if server.setup.sasl2 { SASL2 } else { "" };
    // Accounts are written with their passwords; internal_hashed hashes each on first use.
    let authentication = match server.setup.passwords {
        Passwords::Sha256 => "authentication = \"internal_hashed\"; password_hash = \"SHA-256\"",
        Passwords::Sha1 => "authentication = \"internal_hashed\"; password_hash = \"SHA-1\"",
        Passwords::Plain => "authentication = \"internal_plain\"",
    };
    // The host name that clients use in TLS, which Prosody 0.12 does not find out by itself.
    let ascii = certificates::ascii(domain);
    let vcards = if server.setup.converts_vcards { "vcard_legacy" } else { "vcard" };
    format!(
        r#"
-- Root is what containers run tests as; the server listens on loopback only.
run_as_root = true
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
plugin_paths = {{ "{folder}/modules" }}
certificates = "{folder}"
log = {{ {{ levels = {{ min = "info" }}, to = "console" }} }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ {direct_port} }}
c2s_direct_tls_ssl = {{ certificate = "{certificate}", key = "{key}" }}
c2s_require_encryption = true
modules_disabled = {{ "s2s" }}
modules_enabled = {{
  "roster", "saslauth", "tls", "disco", "ping", "version", "time", "private",
  "pep", "{vcards}", "carbons", "blocklist", "smacks", "csi", "csi_simple", "mam", "offline", {sasl2}
}}
{authentication}
storage = "internal"
default_archive_policy = false
{extra}
VirtualHost "{domain}"
ssl = {{ certificate = "{certificate}", key = "{key}" }}
c2s_direct_tls_host = "{ascii}"
"#
    )
}

/// Accounts and rosters in the format of mod_storage_internal.
fn write_data(server: &Server) -> Result<()> {
    let host = encode(server.domain);
    for (name, password) in &server.setup.accounts {
        let file = encode(name);
        let password = quote(password);
        server.write(
            &format!("data/{host}/accounts/{file}.dat"),
            &format!("return {{ [\"password\"] = {password} }};\n"),
        )?;
        let mut roster = "return { [false] = { [\"version\"] = 1, [\"pending\"] = {} }".to_owned();
        for contact in server.setup.roster_of(name) {
            let (jid, shown) = (quote(&server.jid(contact)), quote(&roster_name(contact)));
            let _infallible = write!(
                roster,
                ",\n[{jid}] = {{ [\"name\"] = {shown}, [\"subscription\"] = \"both\", [\"groups\"] = {{}} }}"
            );
        }
        server.write(&format!("data/{host}/roster/{file}.dat"), &(roster + " };\n"))?;
    }
    Ok(())
}

/// A Lua string.
fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for byte in text.bytes() {
        let _infallible = write!(quoted, "\\{byte:03}");
    }
    quoted + "\""
}

/// A file name as Prosody writes it: all but ASCII letters and digits as `%xx`.
fn encode(name: &str) -> String {
    name.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02x}");
        }
        encoded
    })
}
