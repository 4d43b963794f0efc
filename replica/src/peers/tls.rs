//! Who is at the other end: TLS 1.3 with the members' Ed25519 keys, and nothing else.
//!
//! Both ends show a raw public key (RFC 7250) and prove that they hold it. There are no
//! certificates, authorities, names, dates, tickets or resumed sessions: a key is pinned or it is
//! not, and it is looked up again for every connection. Alone names rustls.
//!
//! What a member key signs here cannot be taken for a proposal or the other way round: TLS signs
//! 64 spaces, a context of its own and a transcript hash (RFC 8446 4.4.3).

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use ledger::history::MemberKey;
use ledger::ids::LockKey;
use ledger::lock::signatures::{Signer, is_weak};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, ResolvesClientCert, Resumption};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    CertificateDer, IpAddr, ServerName, SubjectPublicKeyInfoDer, UnixTime, alg_id,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, Signer as TlsSigner, SigningKey, public_key_to_spki};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    PeerMisbehaved, ServerConfig, SignatureAlgorithm, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, TlsStream};

use super::membership::Membership;

/// What stands before the 32 bytes of the key in an Ed25519 SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];
/// The label under which both ends of a joiner's connection derive its binding.
const BINDING_LABEL: &[u8] = b"EXPORTER-lockstep-join-1";

/// What a connection is for; its protocol name in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Between members.
    Peer,
    /// Between a member and somebody who wants to become one.
    Join,
}

impl Purpose {
    fn protocol(self) -> &'static [u8] {
        match self {
            Purpose::Peer => b"lockstep-peer/1",
            Purpose::Join => b"lockstep-join/1",
        }
    }
}

/// 32 bytes that only the two ends of this one TLS connection can derive (RFC 8446 7.5), label
/// `EXPORTER-lockstep-join-1`, without a context. What is signed together with them is of no use
/// on another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding(pub [u8; 32]);

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The handshake failed, or the connection under it.
    #[error("TLS: {0}")]
    Handshake(io::Error),
    /// Whoever listens holds another key than those that are pinned.
    #[error(
        "whoever listens there holds another member key than is on record here; if the group was \
         restored or recovered meanwhile, it goes on in a new incarnation, which nobody of the \
         earlier one can enter: stop this daemon, and join with an empty data directory and a new \
         invitation (lockstep cluster invite on a member)"
    )]
    OtherKey,
    /// The other end has ended the handshake, mostly because it wants to see another key.
    #[error("TLS: the other end has refused this replica's key ({0})")]
    Refused(String),
    /// This program's own setup does not work.
    #[error("TLS cannot be set up: {0}")]
    Setup(Error),
    /// Both ends agreed on TLS, but not on what for.
    #[error("TLS without the protocol that was expected")]
    Protocol,
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        const OTHER: CertificateError = CertificateError::ApplicationVerificationFailure;
        let by_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match by_tls {
            Some(Error::InvalidCertificate(why)) if *why == OTHER => TlsError::OtherKey,
            Some(Error::AlertReceived(alert)) => TlsError::Refused(format!("{alert:?}")),
            _ => TlsError::Handshake(error),
        }
    }
}

/// A member key that speaks for itself in handshakes, wherever its private half lies.
#[derive(Clone)]
pub struct Identity(Arc<dyn Signer + Send + Sync>);

impl Identity {
    /// The identity of that member key.
    pub fn new(signer: Arc<dyn Signer + Send + Sync>) -> Self {
        Identity(signer)
    }

    /// The public key.
    pub fn key(&self) -> MemberKey {
        MemberKey(self.0.public().0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.key())
    }
}

impl SigningKey for Identity {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn TlsSigner>> {
        offered
            .contains(&SignatureScheme::ED25519)
            .then(|| Box::new(self.clone()) as Box<dyn TlsSigner>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(public_key_to_spki(&alg_id::ED25519, self.key().0))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl TlsSigner for Identity {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(Signer::sign(&*self.0, message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// The key in a SubjectPublicKeyInfo; `None` for anything but a usable Ed25519 key.
fn key_in(spki: &[u8]) -> Option<MemberKey> {
    let key: [u8; 32] = spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok()?;
    // Anybody could sign for such a key.
    (!is_weak(&LockKey(key))).then_some(MemberKey(key))
}

/// Which keys are let in.
#[derive(Debug, Clone)]
enum Admitted {
    /// Those of members, and of removed ones, as of the moment of the handshake.
    Members(watch::Receiver<Arc<Membership>>),
    /// Those of a list.
    Only(BTreeSet<MemberKey>),
    /// Any, for joiners.
    Any,
}

/// Checks the other end's key.
#[derive(Debug)]
struct Verifier {
    admitted: Admitted,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn admit(&self, shown: &CertificateDer<'_>, others: usize) -> Result<(), Error> {
        let bad = |error: CertificateError| Err(Error::InvalidCertificate(error));
        let Some(key) = key_in(shown).filter(|_| others == 0) else {
            return bad(CertificateError::BadEncoding);
        };
        let admitted = match &self.admitted {
            Admitted::Members(membership) => {
                let now = membership.borrow();
                now.holder(key).is_some() || now.removed.contains_key(&key)
            }
            Admitted::Only(keys) => keys.contains(&key),
            Admitted::Any => true,
        };
        if admitted { Ok(()) } else { bad(CertificateError::ApplicationVerificationFailure) }
    }

    fn check(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signature.scheme != SignatureScheme::ED25519 {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        let spki = SubjectPublicKeyInfoDer::from(shown.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signature, &self.algorithms)
    }
}

/// Never asked for: TLS 1.2 is not compiled in.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.admit(shown, others.len()).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.admit(shown, others.len()).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// A connection and who is at its other end.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) purpose: Purpose,
    pub(super) key: MemberKey,
}

impl Secured {
    fn new(stream: TlsStream<TcpStream>, purpose: Purpose) -> Result<Self, TlsError> {
        let (_, tls) = stream.get_ref();
        if tls.alpn_protocol() != Some(purpose.protocol()) {
            return Err(TlsError::Protocol);
        }
        let shown = tls.peer_certificates().and_then(|shown| shown.first());
        let key = shown.and_then(|shown| key_in(shown)).ok_or(TlsError::Protocol)?;
        Ok(Secured { stream, purpose, key })
    }

    pub(super) fn binding(&self) -> Result<Binding, TlsError> {
        let secret = match &self.stream {
            TlsStream::Client(stream) => {
                stream.get_ref().1.export_keying_material([0; 32], BINDING_LABEL, None)
            }
            TlsStream::Server(stream) => {
                stream.get_ref().1.export_keying_material([0; 32], BINDING_LABEL, None)
            }
        };
        secret.map(Binding).map_err(TlsError::Setup)
    }
}

/// What dialling needs.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    provider: Arc<CryptoProvider>,
    shown: Arc<CertifiedKey>,
    resolver: Arc<dyn ResolvesClientCert>,
}

impl Dialer {
    pub(super) fn new(identity: &Identity) -> Self {
        let spki = public_key_to_spki(&alg_id::ED25519, identity.key().0);
        let shown = vec![CertificateDer::from(spki.to_vec())];
        let shown = Arc::new(CertifiedKey::new(shown, Arc::new(identity.clone())));
        let resolver = Arc::new(AlwaysResolvesClientRawPublicKeys::new(shown.clone()));
        Dialer { provider: Arc::new(ring::default_provider()), shown, resolver }
    }

    /// One that shows no key of its own.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn keyless(identity: &Identity) -> Self {
        #[derive(Debug)]
        struct NoKey;
        impl ResolvesClientCert for NoKey {
            fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
                None
            }
            fn only_raw_public_keys(&self) -> bool {
                true
            }
            fn has_certs(&self) -> bool {
                false
            }
        }
        Dialer { resolver: Arc::new(NoKey), ..Self::new(identity) }
    }

    /// The TLS side of a connection to whoever holds one of these keys.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
        pins: BTreeSet<MemberKey>,
        purpose: Purpose,
    ) -> Result<Secured, TlsError> {
        let verifier = self.verifier(Admitted::Only(pins));
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Setup)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(self.resolver.clone());
        config.alpn_protocols = vec![purpose.protocol().to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        // The key is the name.
        let name = ServerName::IpAddress(IpAddr::from(std::net::Ipv4Addr::UNSPECIFIED));
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        Secured::new(stream.into(), purpose)
    }

    fn verifier(&self, admitted: Admitted) -> Arc<Verifier> {
        let algorithms = self.provider.signature_verification_algorithms;
        Arc::new(Verifier { admitted, algorithms })
    }
}

/// What accepting needs.
#[derive(Debug)]
pub(super) struct Acceptor {
    membership: watch::Receiver<Arc<Membership>>,
    peers: Arc<ServerConfig>,
    joiners: Arc<ServerConfig>,
}

impl Acceptor {
    pub(super) fn new(
        dialer: &Dialer,
        membership: watch::Receiver<Arc<Membership>>,
    ) -> Result<Self, TlsError> {
        let config = |admitted: Admitted, purpose: Purpose| {
            let mut config = ServerConfig::builder_with_provider(dialer.provider.clone())
                .with_protocol_versions(&[&TLS13])
                .map_err(TlsError::Setup)?
                .with_client_cert_verifier(dialer.verifier(admitted))
                .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
                    dialer.shown.clone(),
                )));
            config.alpn_protocols = vec![purpose.protocol().to_vec()];
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
            Ok::<_, TlsError>(Arc::new(config))
        };
        let peers = config(Admitted::Members(membership.clone()), Purpose::Peer)?;
        let joiners = config(Admitted::Any, Purpose::Join)?;
        Ok(Acceptor { membership, peers, joiners })
    }

    /// The TLS side of an accepted connection.
    pub(super) async fn secure(&self, stream: TcpStream) -> Result<Secured, TlsError> {
        let begun = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let wants_to_join = begun
            .client_hello()
            .alpn()
            .is_some_and(|mut offered| offered.any(|name| name == Purpose::Join.protocol()));
        // Where nobody may join, a joiner meets the members' setup, which refuses its protocol.
        let joins = wants_to_join && self.membership.borrow().joins;
        let (config, purpose) =
            if joins { (&self.joiners, Purpose::Join) } else { (&self.peers, Purpose::Peer) };
        let stream = begun.into_stream(config.clone()).await?;
        Secured::new(stream.into(), purpose)
    }
}

#[cfg(test)]
mod tests {
    use ledger::lock::signatures::PrivateKey;

    use super::*;

    #[test]
    fn only_usable_ed25519_keys_are_read() {
        let identity = Identity::new(Arc::new(PrivateKey::from_seed(&[1; 32])));
        let spki = identity.public_key().unwrap().to_vec();
        assert_eq!(key_in(&spki), Some(identity.key()));
        assert_eq!(key_in(&spki[..43]), None);
        assert_eq!(key_in(&[spki.as_slice(), &[0]].concat()), None);
        for at in 0..SPKI_PREFIX.len() {
            let mut other = spki.clone();
            other[at] ^= 1;
            assert_eq!(key_in(&other), None);
        }
        let mut weak = spki;
        weak[12..].fill(0);
        assert_eq!(key_in(&weak), None);
        assert!(!format!("{identity:?}").contains("priv"));
    }
}
