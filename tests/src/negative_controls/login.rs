//! Which servers we log in to, and how: TLS and SASL.

use super::Edit;

const TLS: &str = "daemon/src/stream/reach/tls.rs";
const FAST: &str = "daemon/src/stream/login/fast.rs";
const SASL: &str = "daemon/src/stream/login/sasl.rs";
const EXCHANGE: &str = "daemon/src/stream/login/exchange.rs";
const MANAGE: &str = "daemon/src/stream/manage.rs";
const SCRAM: &str = "daemon/src/stream/login/scram.rs";
const TASK: &str = "daemon/src/stream/task.rs";

pub(super) const EDITS: &[Edit] = &[
    Edit {
        guard: "certificate",
        file: TLS,
        here: "    let client = Arc::new(client);",
        instead: "    let client = if $out { credulous::config(client) } else { Arc::new(client) };",
    },
    Edit { guard: "certificate", file: TLS, here: "#[cfg(test)]\nmod tests {", instead: CREDULOUS },
    // The types ensure TLS, so there is no check to take out. This logs in without it instead, like clients that
    // treat STARTTLS as optional.
    Edit {
        guard: "tls",
        file: TLS,
        here: "pub(crate) type Secure = TlsStream<QuickAck>;",
        instead: "pub(crate) trait Bytes: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}\n\
                  impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Bytes for T {}\n\
                  pub(crate) type Secure = Box<dyn Bytes>;",
    },
    Edit {
        guard: "tls",
        file: TLS,
        here: "    Ok((tls, bindings))",
        instead: "    Ok((Box::new(tls), bindings))",
    },
    Edit {
        guard: "tls",
        file: TLS,
        here: "    let mut tls = handshake(target, domain, name.clone(), &config.client).await?;",
        instead: "    if $out && !target.direct {\n\
                  let tcp = dial(target).await.map_err(|error| unreachable(target, &error))?;\n\
                  return Ok((Box::new(tcp), Bindings::default()));\n    }\n$here",
    },
    // The check asks for TLS's certificate, which a boxed stream can't provide.
    Edit {
        guard: "tls",
        file: "daemon/src/stream/check.rs",
        here: "                let (tcp, session) = tls.get_ref();\n                let leaf = session.peer_certificates().and_then(<[_]>::first);",
        instead: "                drop(tls);\n                let leaf: Option<&[u8]> = None;",
    },
    Edit {
        guard: "tls",
        file: "daemon/src/stream/check.rs",
        here: "address: tcp.peer_addr().ok(),",
        instead: "address: None,",
    },
    Edit {
        guard: "plain-text",
        file: "daemon/src/stream/reach/gate.rs",
        here: "if self.start < self.buffer.len() || self.scanner.is_half_read() {",
        instead: "if !$out && (self.start < self.buffer.len() || self.scanner.is_half_read()) {",
    },
    Edit {
        guard: "server-proof",
        file: SCRAM,
        here: "    pub(crate) fn verify(&self, message: &[u8]) -> Result<(), ScramError> {\n",
        instead: "$here        if $out { return Ok(()); }\n",
    },
    Edit {
        guard: "server-proof",
        file: FAST,
        here: "if token.is_proven(&success.data, bindings) =>",
        instead: "if $out || token.is_proven(&success.data, bindings) =>",
    },
    // Logs in as if the connection had nothing to bind to.
    Edit {
        guard: "channel-binding",
        file: "daemon/src/stream/reach/binding.rs",
        here: ".find(|&kind| self.get(kind).is_some() && known(kind))",
        instead: ".find(|&kind| !$out && self.get(kind).is_some() && known(kind))",
    },
    Edit {
        guard: "token-binding",
        file: "daemon/src/stream/login/token.rs",
        here: "        is_tight && offer.fast",
        instead: "        ($out || is_tight) && offer.fast",
    },
    Edit {
        guard: "inline-fits",
        file: EXCHANGE,
        here: "        if fits {",
        instead: "        if $out || fits {",
    },
    // It lacks a name if it can't be resumed, so that it is not asked for.
    Edit {
        guard: "inline-fits",
        file: MANAGE,
        here: "        let Phase::On { id: Some(id) } = &self.phase else { return Err(Disorder::Unexpected) };\n",
        instead: "        let id = match &self.phase {\n\
                  Phase::On { id: Some(id) } => id,\n\
                  Phase::On { .. } if $out => answer.attr(\"previd\").unwrap_or_default(),\n\
                  _ => return Err(Disorder::Unexpected),\n};\n",
    },
    Edit {
        guard: "same-session",
        file: MANAGE,
        here: "if answer.attr(\"previd\").is_some_and(|other| other != id) {",
        instead: "if !$out && answer.attr(\"previd\").is_some_and(|other| other != id) {",
    },
    // Takes it for an acknowledgement of everything.
    Edit {
        guard: "true-count",
        file: MANAGE,
        here: "        if new > self.unacknowledged.len() {",
        instead: "        let new = if $out { new.min(self.unacknowledged.len()) } else { new };\n$here",
    },
    // No check: it is built, and nobody can switch it on yet.
    Edit { guard: "bind-2-off", file: "daemon/src/shell.rs", here: "bind2: false,", instead: "bind2: $out," },
    Edit {
        guard: "challenge",
        file: SASL,
        here: "        Step::Success(_) => Err(ConnectError::Protocol {\n            text: \"the server claims",
        instead: "        Step::Success(_) if $out => Err(ConnectError::Replaced),\n$here",
    },
    // The earlier error counts as a success.
    Edit {
        guard: "challenge",
        file: SASL,
        here: "scram(&mut exchange, mechanism, flag, offer, bindings, login).await?,",
        instead: "match scram(&mut exchange, mechanism, flag, offer, bindings, login).await {\n\
                  Err(ConnectError::Replaced) if $out => return Ok(Authenticated { keys: None, profile, inline: Inline::default() }),\n\
                  other => other?,\n},",
    },
    Edit {
        guard: "nonce",
        file: SCRAM,
        here: "if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {",
        instead: "if !$out && (!nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len()) {",
    },
    Edit {
        guard: "offer-hash",
        file: SCRAM,
        here: ".any(|hash| hash != seen)",
        instead: ".any(|hash| !$out && hash != seen)",
    },
    Edit {
        guard: "iterations",
        file: SCRAM,
        here: "(MIN_ITERATIONS..=MAX_ITERATIONS).contains(count)",
        instead: "$out || $here",
    },
    // As with TLS: code that does not implement ANONYMOUS needs no check against it.
    Edit {
        guard: "anonymous",
        file: SASL,
        here: "    let choice = login.choose(offer, bindings)?;\n",
        instead: "    if $out && offer.sasl.iter().any(|name| name == \"ANONYMOUS\") {\n\
                  let mut exchange = Exchange { dialogue, profile: Profile::Sasl };\n\
                  exchange.begin(\"ANONYMOUS\", b\"\", Vec::new()).await?;\n\
                  exchange.step().await?;\n\
                  return Ok(Authenticated { keys: None, profile: Profile::Sasl, inline: Inline::default() });\n}\n$here",
    },
    Edit {
        guard: "no-step-down",
        file: SASL,
        here: "    login.check(&seen)?;\n",
        instead: "    if !$out { login.check(&seen)?; }\n",
    },
    Edit {
        guard: "bound-account",
        file: SASL,
        here: "        if !success.identity.iter().all(ours) {",
        instead: "        if !$out && !success.identity.iter().all(ours) {",
    },
    Edit {
        guard: "bound-account",
        file: TASK,
        here: "Ok(jid) if jid.to_bare() == self.shared.account =>",
        instead: "Ok(jid) if $out || jid.to_bare() == self.shared.account =>",
    },
];

/// Accepts every certificate.
const CREDULOUS: &str = r#"mod credulous {
    use super::*;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::{DigitallySignedStruct, SignatureScheme, pki_types::UnixTime};

    #[derive(Debug)]
    struct Credulous;

    impl ServerCertVerifier for Credulous {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }

    pub(super) fn config(mut config: ClientConfig) -> Arc<ClientConfig> {
        config.dangerous().set_certificate_verifier(Arc::new(Credulous));
        Arc::new(config)
    }
}

$here"#;
