//! Deliveries to mailboxes, through the SMTP server that the configuration names: for people the message alone, for programs the
//! document.

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::{AsyncTransport, transport::smtp};

use super::errand::Means;
use super::parcel::{Failure, Outcome, Parcel, Sort, Told};
use super::{http, service};

/// Longest line that is sent as a subject, in characters.
const SUBJECT_CHARACTERS_MAX: usize = 200;

/// Delivers a message.
pub(super) async fn deliver(parcel: &Parcel) -> Outcome {
    let settings = &parcel.edge.settings.sns.mail;
    if settings.url.is_empty() {
        return service::unconfigured(parcel, "sns.smtp_url");
    }
    let Ok(to) = parcel.errand.endpoint.parse::<Mailbox>() else {
        return service::rejected("InvalidEndpoint", "it is no address of a mailbox");
    };
    let Ok(from) = settings.from.parse::<Mailbox>() else {
        return service::rejected("InvalidConfiguration", "sns.mail_from is no address of a mailbox");
    };
    let transport = match parcel.edge.sns.mailer() {
        Ok(transport) => transport,
        Err(reason) => return service::rejected("InvalidConfiguration", reason),
    };
    let (subject, body) = match text(parcel).await {
        Ok(text) => text,
        Err(outcome) => return outcome,
    };
    let mail = Message::builder().from(from).to(to).subject(subject).header(ContentType::TEXT_PLAIN).body(body);
    let mail = match mail {
        Ok(mail) => mail,
        Err(error) => return service::rejected("InvalidMessage", error.to_string()),
    };
    match transport.send(mail).await {
        Ok(response) => {
            let said = response.message().collect::<Vec<_>>().join(" ");
            Outcome::Delivered(Told { status: Some(code(response.code())), said: said.into() })
        }
        Err(error) => judge(&error),
    }
}

/// Whether an answer says that this mailbox, or this mail, is refused for good. Others that are as final speak of us (a password that
/// is not believed, a server that takes nothing now): who runs the broker can mend that.
fn is_about_mailbox(status: u16) -> bool {
    matches!(status, 550..=553 | 556)
}

/// What a failure means: who says "never" to a mailbox is believed, everything else may be better later.
fn judge(error: &smtp::Error) -> Outcome {
    let status = error.status().map(code);
    let failure = |word: &'static str| Failure { status, code: word.into(), reason: reason(error) };
    if status.is_some_and(is_about_mailbox) {
        Outcome::Rejected(failure("Refused"))
    } else {
        Outcome::Retry(failure("NotSent"))
    }
}

/// Everything that an error says, down to its cause.
fn reason(error: &smtp::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), std::error::Error::source(error));
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn code(code: smtp::response::Code) -> u16 {
    code.into()
}

/// The subject and the text.
async fn text(parcel: &Parcel) -> Result<(String, String), Outcome> {
    let errand = &parcel.errand;
    let topic = errand.topic_arn.as_deref().unwrap_or_default();
    if let Some(notice) = &parcel.notice {
        let subject = match notice.sort {
            Sort::UnsubscribeConfirmation => "AWS Notification - Unsubscribe Confirmation",
            Sort::SubscriptionConfirmation | Sort::Notification => "AWS Notification - Subscription Confirmation",
        };
        if errand.means == Means::EmailJson {
            return Ok((subject.to_owned(), http::document_text(parcel).await?));
        }
        let url = errand.confirm_url(&notice.base_url, &notice.token);
        let body = match notice.sort {
            Sort::UnsubscribeConfirmation => format!(
                "This mailbox gets no more messages of the topic\n{topic}\n\nIf that is a mistake, open this link to get \
                 them again:\n{url}\n"
            ),
            Sort::SubscriptionConfirmation | Sort::Notification => format!(
                "Somebody wants messages of the topic\n{topic}\nto be sent to this mailbox.\n\nOpen this link to agree:\n\
                 {url}\n\nWhoever does nothing gets nothing.\n"
            ),
        };
        return Ok((subject.to_owned(), body));
    }
    let protocol = if errand.means == Means::EmailJson { "email-json" } else { "email" };
    let notice = service::notice(parcel, &[protocol])?;
    let subject = line(notice.subject.as_deref().unwrap_or("AWS Notification Message"));
    if errand.means == Means::EmailJson {
        return Ok((subject, http::document_text(parcel).await?));
    }
    let url = errand.unsubscribe_url();
    Ok((subject, format!("{}\n\n--\nTo get no more messages of this topic, open\n{url}\n", notice.message)))
}

/// A text on one line: what another protocol says may have several, and a mail's head ends with an empty one.
fn line(text: &str) -> String {
    let letters = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    letters.take(SUBJECT_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_a_mailbox_is_final() {
        let is_final: Vec<u16> = (400..600).filter(|status| is_about_mailbox(*status)).collect();
        assert_eq!(is_final, [550, 551, 552, 553, 556]);
    }

    #[test]
    fn a_subject_is_one_line() {
        assert_eq!(line("a\r\nBcc: everybody@example.org"), "a  Bcc: everybody@example.org");
        assert_eq!(line(&"x".repeat(1_000)).len(), SUBJECT_CHARACTERS_MAX);
    }
}
