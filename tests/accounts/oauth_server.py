"""Who answers when Google and GitHub are out of reach? A server that speaks each one's sign-in protocol.

Google: /o/oauth2/v2/auth, /token (an id_token signed RS256, PKCE checked), /oauth2/v1/certs (by key id).
GitHub: /login/oauth/authorize, /login/oauth/access_token, /api/v3/user, /api/v3/user/emails.
The browser's part (pressing "Allow" or "Cancel") is a query the test makes; nothing here knows our code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

CLIENT_ID, CLIENT_SECRET = "the-client", "the-secret"
KEY_ID = "key-1"


@dataclass
class Person:
    """The account over there that is signed in to the provider."""

    uid: str = "1001"
    name: str = "Ada Lovelace"
    login: str = "ada-l"
    email: str | None = "ada@example.com"
    email_verified: bool = True


@dataclass
class OAuthServer:
    person: Person = field(default_factory=Person)
    denies: bool = False
    audience: str = CLIENT_ID
    token_lifetime_seconds: int = 3600
    signs_with_own_key: bool = True
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.other_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self, {})

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                server.answer(self, _first(parse_qs(self.rfile.read(length).decode())))

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join(timeout=5)

    def answer(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        url = urlsplit(handler.path)
        query = _first(parse_qs(url.query))
        self.requests.append(f"{handler.command} {url.path}")
        match (handler.command, url.path):
            case ("GET", "/o/oauth2/v2/auth" | "/login/oauth/authorize"):
                self._authorize(handler, query)
            case ("POST", "/token"):
                self._google_token(handler, form)
            case ("GET", "/oauth2/v1/certs"):
                _send(handler, 200, {KEY_ID: self._certificate()})
            case ("POST", "/login/oauth/access_token"):
                self._github_token(handler, form)
            case ("GET", "/api/v3/user"):
                self._github_user(handler)
            case ("GET", "/api/v3/user/emails"):
                self._github_emails(handler)
            case _:
                _send(handler, 404, {"message": "Not Found"})

    def _authorize(self, handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        if query.get("client_id") != CLIENT_ID or query.get("response_type") != "code":
            _send(handler, 400, {"error": "invalid_request"})
            return
        if self.denies:
            answer = {"error": "access_denied", "state": query["state"]}
        else:
            code = secrets.token_urlsafe(16)
            self.codes[code] = query
            answer = {"code": code, "state": query["state"]}
        handler.send_response(302)
        handler.send_header("Location", f"{query['redirect_uri']}?{urlencode(answer)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def _granted(self, form: dict[str, str]) -> dict[str, str] | None:
        """The authorization a code stands for; each works once, for its client, address and verifier."""
        granted = self.codes.pop(form.get("code", ""), None)
        if not granted or form.get("client_id") != CLIENT_ID or form.get("client_secret") != CLIENT_SECRET:
            return None
        if form.get("redirect_uri") != granted["redirect_uri"]:
            return None
        if "code_challenge" in granted:
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if granted.get("code_challenge_method") != "S256" or challenge != granted["code_challenge"]:
                return None
        return granted

    def _google_token(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        if self._granted(form) is None:
            _send(handler, 400, {"error": "invalid_grant"})
            return
        now = int(time.time())
        claims = {
            "iss": self.base,
            "aud": self.audience,
            "azp": self.audience,
            "sub": self.person.uid,
            "name": self.person.name,
            "given_name": self.person.name.partition(" ")[0],
            "family_name": self.person.name.partition(" ")[2],
            "iat": now,
            "exp": now + self.token_lifetime_seconds,
        }
        if self.person.email:
            claims |= {"email": self.person.email, "email_verified": self.person.email_verified}
        key = self.key if self.signs_with_own_key else self.other_key
        id_token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": KEY_ID})
        token = self._new_token()
        _send(
            handler,
            200,
            {"access_token": token, "expires_in": 3599, "token_type": "Bearer", "id_token": id_token},
        )

    def _github_token(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        if self._granted(form) is None:
            # GitHub answers 200 with an error inside.
            _send(handler, 200, {"error": "bad_verification_code"})
            return
        _send(handler, 200, {"access_token": self._new_token(), "token_type": "bearer", "scope": "user:email"})

    def _github_user(self, handler: BaseHTTPRequestHandler) -> None:
        if not self._knows(handler):
            return
        # The address in the profile is the public one, often null; /user/emails is the list.
        person = self.person
        _send(handler, 200, {"id": int(person.uid), "login": person.login, "name": person.name, "email": None})

    def _github_emails(self, handler: BaseHTTPRequestHandler) -> None:
        if not self._knows(handler):
            return
        if self.person.email is None:
            _send(handler, 404, {"message": "Not Found"})
            return
        _send(
            handler,
            200,
            [{"email": self.person.email, "primary": True, "verified": self.person.email_verified}],
        )

    def _new_token(self) -> str:
        token = secrets.token_urlsafe(16)
        self.tokens[token] = self.person.uid
        return token

    def _knows(self, handler: BaseHTTPRequestHandler) -> bool:
        token = (handler.headers.get("Authorization") or "").partition(" ")[2]
        if token not in self.tokens:
            _send(handler, 401, {"message": "Bad credentials"})
            return False
        return True

    def _certificate(self) -> str:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "local sign-in server")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _first(values: dict[str, list[str]]) -> dict[str, str]:
    return {name: texts[0] for name, texts in values.items()}


def _send(handler: BaseHTTPRequestHandler, status: int, body: Any) -> None:
    content = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
