//! How a SASL exchange is written down, in either profile: RFC 6120 §6, XEP-0388.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use minidom::Element;
use minidom::rxml::xml_ncname;
use xmpp_parsers::ns;

use super::dialogue::{Dialogue, disorder};
use super::offer::Profile;
use crate::stream::{ConnectError, short};

/// The server's next step.
pub(crate) enum Step {
    Challenge(Vec<u8>),
    Success(Success),
}

/// The server says that we are in.
pub(crate) struct Success {
    /// The mechanism's last word, empty where there is none.
    pub data: Vec<u8>,
    /// SASL2: who we are.
    pub identity: Option<String>,
    /// XEP-0484: for the next login. A secret.
    pub token: Option<String>,
    /// The answer to what was asked for along with the login.
    pub inline: Box<Inline>,
}

/// What a server has done along with the login (XEP-0388 §2.6.2).
#[derive(Debug, Default)]
pub(crate) struct Inline {
    /// It has resumed the session (XEP-0198 §9).
    pub resumed: Option<Element>,
    /// It has not resumed it.
    pub failed: Option<Element>,
    /// It has bound a resource (XEP-0386): what it says of it, and as whom.
    pub bound: Option<(Element, String)>,
    /// It could not bind one.
    pub refused: bool,
}

/// What was asked for along with the login.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    /// The session is to be resumed.
    pub resume: bool,
    /// A resource is to be bound.
    pub bind: bool,
}

impl Inline {
    /// Checks that this fits what was asked. XEP-0386 §3.2: a server that resumes must not bind as well, and one that
    /// was asked to bind must say what came of it.
    pub(super) fn check(&self, asked: Asked) -> Result<(), ConnectError> {
        let fits = match (&self.resumed, &self.bound) {
            (Some(_), Some(_)) => false,
            (Some(_), None) => asked.resume,
            (None, Some(_)) => asked.bind,
            (None, None) => self.refused || !asked.bind,
        };
        if fits {
            return Ok(());
        }
        Err(ConnectError::Protocol {
            text: "the server's answer does not match what was requested along with the login".to_owned(),
        })
    }
}

/// One exchange after another, on one stream.
pub(crate) struct Exchange<'a> {
    pub dialogue: &'a mut Dialogue,
    pub profile: Profile,
}

impl Exchange<'_> {
    /// Chooses a mechanism and makes its first step: see [`request`].
    pub(crate) async fn begin(
        &mut self,
        mechanism: &str,
        initial: &[u8],
        extras: Vec<Element>,
    ) -> Result<(), ConnectError> {
        self.send(request(self.profile, mechanism, initial, extras)).await
    }

    pub(crate) async fn respond(&mut self, data: &[u8]) -> Result<(), ConnectError> {
        self.send(Element::builder("response", self.namespace()).append(BASE64.encode(data)).build()).await
    }

    /// Breaks the exchange off; the stream may begin another (RFC 6120 §6.4.4).
    pub(crate) async fn abort(&mut self) -> Result<(), ConnectError> {
        self.send(Element::builder("abort", self.namespace()).build()).await?;
        let answer = self.dialogue.next().await?;
        if answer.is("failure", self.namespace()) { Ok(()) } else { Err(disorder()) }
    }

    /// Waits for the server; a refusal is an error.
    pub(crate) async fn step(&mut self) -> Result<Step, ConnectError> {
        let element = self.dialogue.next().await?;
        self.read(&element)
    }

    /// What this says of the exchange; a refusal is an error.
    pub(crate) fn read(&self, element: &Element) -> Result<Step, ConnectError> {
        if element.ns() != self.namespace() {
            return Err(disorder());
        }
        match element.name() {
            "challenge" => Ok(Step::Challenge(decode(&element.text())?)),
            "success" => Ok(Step::Success(success(element, self.profile)?)),
            "failure" => Err(refused(element)),
            "continue" => Err(ConnectError::Protocol {
                text: "the server wants more than the password, which prosed can't give".to_owned(),
            }),
            _ => Err(disorder()),
        }
    }

    fn namespace(&self) -> &'static str {
        match self.profile {
            Profile::Sasl => ns::SASL,
            Profile::Sasl2 => ns::SASL2,
        }
    }

    async fn send(&mut self, element: Element) -> Result<(), ConnectError> {
        self.dialogue.send(&element).await
    }
}

/// A mechanism's first step. `extras`: what SASL2 may carry with it.
pub(crate) fn request(profile: Profile, mechanism: &str, initial: &[u8], extras: Vec<Element>) -> Element {
    let initial = BASE64.encode(initial);
    let request = match profile {
        Profile::Sasl => Element::builder("auth", ns::SASL)
            .attr(xml_ncname!("mechanism").to_owned(), mechanism)
            .append(initial),
        Profile::Sasl2 => Element::builder("authenticate", ns::SASL2)
            .attr(xml_ncname!("mechanism").to_owned(), mechanism)
            .append(Element::builder("initial-response", ns::SASL2).append(initial))
            .append_all(extras),
    };
    request.build()
}

/// RFC 6120 §6.4.2: `=` is nothing, as opposed to not being there.
fn decode(text: &str) -> Result<Vec<u8>, ConnectError> {
    match text.trim() {
        "=" => Ok(Vec::new()),
        text => BASE64.decode(text).map_err(|_| disorder()),
    }
}

fn success(element: &Element, profile: Profile) -> Result<Success, ConnectError> {
    Ok(match profile {
        Profile::Sasl => {
            let data = decode(&element.text())?;
            Success { data, identity: None, token: None, inline: Box::default() }
        }
        Profile::Sasl2 => {
            let text = |name| element.get_child(name, ns::SASL2).map(Element::text);
            let identity = text("authorization-identifier");
            Success {
                data: decode(&text("additional-data").unwrap_or_default())?,
                inline: Box::new(Inline {
                    resumed: element.get_child("resumed", ns::SM).cloned(),
                    failed: element.get_child("failed", ns::SM).cloned(),
                    bound: element
                        .get_child("bound", ns::BIND2)
                        .map(|bound| (bound.clone(), identity.clone().unwrap_or_default())),
                    refused: element.has_child("failed", ns::BIND2),
                }),
                identity,
                token: element
                    .get_child("token", ns::FAST)
                    .and_then(|token| token.attr("token"))
                    .map(str::to_owned),
            }
        }
    })
}

/// RFC 6120 §6.5, for both profiles.
fn refused(failure: &Element) -> ConnectError {
    let condition = failure.children().find(|child| child.ns() == ns::SASL && child.name() != "text");
    let condition = condition.map_or("undefined-condition", Element::name).to_owned();
    let text = failure.children().find(|child| child.name() == "text").map(Element::text);
    let text = text.filter(|text| !text.is_empty());
    let text = short(text.as_deref().unwrap_or("the server gave no reason"));
    match condition.as_str() {
        "account-disabled" => ConnectError::AccountDisabled { text },
        "temporary-auth-failure" => ConnectError::Unreachable { text },
        "aborted"
        | "encryption-required"
        | "incorrect-encoding"
        | "invalid-mechanism"
        | "malformed-request"
        | "mechanism-too-weak" => ConnectError::Protocol { text: format!("{condition}: {text}") },
        "not-authorized" | "credentials-expired" | "invalid-authzid" => {
            ConnectError::NotAuthorized { condition, text }
        }
        // A refusal with a condition that we don't know is a refusal all the same.
        _ => ConnectError::NotAuthorized {
            condition: "undefined-condition".to_owned(),
            text: "the server refused the login for a reason that we don't know".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each answer with what it answers, of nothing, a resumption, a resource, and both.
    #[test]
    fn only_what_was_asked_for_is_done_along_with_a_login() {
        const RESUMED: &str = "<resumed xmlns='urn:xmpp:sm:3' previd='s' h='0'/>";
        const BOUND: &str = "<bound xmlns='urn:xmpp:bind:0'/>";
        let both = [RESUMED, BOUND].concat();
        let cases = [
            ("", [true, true, false, false]),
            ("<failed xmlns='urn:xmpp:bind:0'/>", [true; 4]),
            ("<failed xmlns='urn:xmpp:sm:3'/>", [true, true, false, false]),
            (RESUMED, [false, true, false, true]),
            (BOUND, [false, false, true, true]),
            (&both, [false; 4]),
        ];
        for (answer, fits) in cases {
            for (index, fits) in fits.into_iter().enumerate() {
                let asked = Asked { resume: index & 1 != 0, bind: index & 2 != 0 };
                for identity in ["", "<authorization-identifier>me@example.org/x</authorization-identifier>"]
                {
                    let xml = format!("<success xmlns='urn:xmpp:sasl:2'>{identity}{answer}</success>");
                    let success = success(&xml.parse().unwrap(), Profile::Sasl2).unwrap();
                    assert_eq!(success.inline.check(asked).is_ok(), fits, "{xml} to {asked:?}");
                }
            }
        }
    }

    #[test]
    fn each_refusal_is_what_a_ui_would_make_of_it() {
        for namespace in [ns::SASL, ns::SASL2] {
            let refused = |condition: &str| {
                let failure = format!(
                    "<failure xmlns='{namespace}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\
                     <text>why</text></failure>"
                );
                refused(&failure.parse().unwrap())
            };
            for condition in ["not-authorized", "credentials-expired", "invalid-authzid", "made-up"] {
                assert!(matches!(refused(condition), ConnectError::NotAuthorized { .. }), "{condition}");
            }
            assert_eq!(refused("account-disabled"), ConnectError::AccountDisabled { text: "why".into() });
            assert_eq!(refused("temporary-auth-failure"), ConnectError::Unreachable { text: "why".into() });
            assert!(matches!(refused("mechanism-too-weak"), ConnectError::Protocol { .. }));
        }
        let bare: Element = "<failure xmlns='urn:xmpp:sasl:2'/>".parse().unwrap();
        assert!(matches!(refused(&bare), ConnectError::NotAuthorized { .. }));
    }

    #[test]
    fn an_equals_sign_is_nothing() {
        assert_eq!(decode(" = ").unwrap(), b"");
        assert_eq!(decode("").unwrap(), b"");
        assert_eq!(decode("YQ==\n").unwrap(), b"a");
        assert!(decode("%").is_err());
    }
}
