//! Logging in with a token (XEP-0484), also before the server has sent its features.
//!
//! **Ahead.** The features of the last login are known, and as a rule they are the same again. So the request goes out
//! in one write with the stream header, which saves a round trip. What makes this safe:
//!
//! - Nothing goes out ahead that could serve anybody but the server on this very connection: a token bound by
//!   `tls-exporter`, and no other mechanism. An attacker in between, even one with a certificate that we trust, gets a
//!   hash that works on the attacker's own connection only.
//! - The features that arrive must be those that were known, in all that a login depends on. If not, nothing that the
//!   server says counts, this connection is given up, and the next login comes at once and step by step: the pins are
//!   held against what the server offers then.
//! - A token goes out once. If it is refused, SCRAM follows on the same connection; if the connection is lost over it, in
//!   the next one.

use minidom::Element;
use xmpp_parsers::ns;

use super::dialogue::{Dialogue, disorder};
use super::exchange::{Exchange, Inline, Step, request};
use super::offer::{Offer, Profile};
use super::sasl::Login;
use super::scram::ScramError;
use super::token::Token;
use crate::stream::ConnectError;
use crate::stream::reach::binding::Bindings;

impl Login {
    /// The request that goes out with the stream header, where there is one. `known`: what the server offered last.
    pub(crate) fn ahead(&mut self, known: &Offer, bindings: &Bindings) -> Option<Element> {
        let serves = |token: &mut Token| token.serves_one_connection() && token.fits(known, bindings);
        let token = self.token.take_if(serves)?;
        let request = self.request(&token, known, bindings);
        self.ahead = Some(token);
        self.again = true;
        Some(request)
    }

    /// There is a token for the next login.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    fn request(&mut self, token: &Token, offer: &Offer, bindings: &Bindings) -> Element {
        let mut extras = self.extras(Profile::Sasl2, offer, bindings);
        extras.retain(|extra| !extra.is("request-token", ns::FAST));
        extras.push(Token::mark());
        request(Profile::Sasl2, token.mechanism(), &token.message(&self.username, bindings), extras)
    }
}

/// The token that is on its way to the server, where one serves: sent now, or ahead.
pub(super) async fn begin(
    dialogue: &mut Dialogue,
    offer: &Offer,
    bindings: &Bindings,
    login: &mut Login,
) -> Result<Option<Token>, ConnectError> {
    if let Some(token) = login.ahead.take() {
        return Ok(Some(token));
    }
    let Some(token) = login.token.take_if(|token| token.fits(offer, bindings)) else { return Ok(None) };
    dialogue.send(&login.request(&token, offer, bindings)).await?;
    Ok(Some(token))
}

/// Waits for what the server says to it.
pub(super) async fn finish(
    dialogue: &mut Dialogue,
    bindings: &Bindings,
    login: &mut Login,
    token: Token,
) -> Result<Inline, ConnectError> {
    let exchange = Exchange { dialogue, profile: Profile::Sasl2 };
    let answer = exchange.dialogue.next().await?;
    login.again = false;
    match exchange.read(&answer)? {
        Step::Success(success) if token.is_proven(&success.data, bindings) => {
            login.token = Some(token);
            login.admitted(success, None)
        }
        Step::Success(_) => Err(ScramError::Signature.into()),
        Step::Challenge(_) => Err(disorder()),
    }
}
