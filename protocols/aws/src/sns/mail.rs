//! The way to the SMTP server.

use std::path::Path;

use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, Tokio1Executor};

use super::settings::Mail;

/// Connections to the server, which are used again.
pub(crate) type Mailer = AsyncSmtpTransport<Tokio1Executor>;

/// Makes it. Nothing is connected to before there is a mail. Blocks on the disk where certificates are to be trusted beside those of
/// the operating system.
///
/// # Errors
/// The URL is none, or the certificates cannot be read. No secret is in it.
pub(crate) fn mailer(mail: &Mail, ca_file: Option<&Path>) -> Result<Mailer, String> {
    let url = &mail.url;
    let builder = Mailer::from_url(url).map_err(|_| "sns.smtp_url is no URL of an SMTP server".to_owned())?;
    let Some(ca_file) = ca_file else { return Ok(builder.build()) };
    // As the URL says it, but with these certificates, too.
    let is_wrapped = url.starts_with("smtps:");
    let (is_required, is_opportunistic) = (url.contains("tls=required"), url.contains("tls=opportunistic"));
    if !is_wrapped && !is_required && !is_opportunistic {
        return Ok(builder.build());
    }
    let pem = std::fs::read(ca_file).map_err(|error| format!("{}: {error}", ca_file.display()))?;
    let trusted = Certificate::from_pem(&pem).map_err(|error| format!("{}: {error}", ca_file.display()))?;
    let parameters = TlsParameters::builder(host(url).to_owned()).add_root_certificate(trusted);
    let parameters = parameters.build().map_err(|error| error.to_string())?;
    let tls = if is_wrapped {
        Tls::Wrapper(parameters)
    } else if is_required {
        Tls::Required(parameters)
    } else {
        Tls::Opportunistic(parameters)
    };
    Ok(builder.tls(tls).build())
}

/// The host of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = place.rsplit('@').next().unwrap_or_default();
    match place.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => place.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_says_where_mails_go() {
        for url in ["smtp://127.0.0.1:2525", "smtps://user:secret@mail.example.org", "smtp://mail?tls=required"] {
            let mail = Mail { url: url.into(), ..Mail::default() };
            assert!(mailer(&mail, None).is_ok(), "{url}");
        }
        for url in ["mail.example.org", "http://mail", "smtp://"] {
            let mail = Mail { url: url.into(), ..Mail::default() };
            let error = mailer(&mail, None).map(|_| ()).unwrap_err();
            assert_eq!(error, "sns.smtp_url is no URL of an SMTP server", "{url}");
        }
        assert_eq!(host("smtps://user:a@b@mail.example.org:465?tls=required"), "mail.example.org");
        assert_eq!(host("smtp://[::1]:25"), "::1");
    }
}
