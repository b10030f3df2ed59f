"""Which key names tell a secret, and which only look like it."""

from __future__ import annotations

import pytest

from hearth.record import Redactor


def words(text: str) -> list[str]:
    return text.split()


TELLING = words("""
password Password PASSWORD passwd passphrase pwd pw userPassword user_password user-password user.password
db_password DB_PASSWORD dbPassword DbPassword password1 password_2 new-password oldPassword PGPASSWORD MYSQL_PWD
mysql_root_password password_hash password-confirmation passwords secret SECRET client_secret clientSecret
ClientSecret client-secret CLIENT_SECRET secretKey secret_key SECRET_KEY_BASE AWS_SECRET_ACCESS_KEY
aws_secret_access_key awsSecretAccessKey webhookSecret shared_secret secrets token TOKEN Token access_token
accessToken AccessToken ACCESS_TOKEN refresh_token refreshToken id_token idToken authToken auth_token X-Auth-Token
x-auth-token githubToken GITHUB_TOKEN github_token GITLAB_TOKEN NPM_TOKEN bearer_token bearerToken csrf_token
csrfToken session_token sessionToken api_token apiToken API_TOKEN APIToken access_tokens api_key apiKey ApiKey
API_KEY apikey APIKEY api-key X-API-Key x-api-key X-Api-Key api_keys OPENAI_API_KEY openaiApiKey private_key
privateKey PrivateKey PRIVATE_KEY private-key ssh_private_key privateKeyPem credential credentials Credentials
dbCredentials aws_credentials user_credential authorization Authorization AUTHORIZATION Proxy-Authorization
proxy_authorization http_authorization cookie Cookie Set-Cookie set_cookie cookies access_key accessKey
AWS_ACCESS_KEY_ID encryption_key encryptionKey signing_key signingKey ssh_key master_key accountKey secretary_password
connection_string connectionString otp totp pin cvv cvc jwt dsn auth
bearer Bearer session_id sessionId sessionid SESSION_ID JSESSIONID PHP_SESSION_ID sas SAS sas_token webhook_url
webhookUrl SLACK_WEBHOOK_URL
""")

HARMLESS = words("""
max_tokens maxTokens token_count tokenCount total_tokens prompt_tokens completion_tokens input_tokens output_tokens
tokens_used num_tokens token_limit tokenLimit n_tokens_total cached_tokens PWD OLDPWD author Author authors
co_author authored_by authority passenger passengers compass bypass bypassed trespass passed passing passive passage
overpass encompass key keys primary_key foreign_key public_key publicKey sort_key cache_key partition_key keyboard
monkey hockey turkey name user username email host port path url id type status command stdout stderr exit_code
duration_us rows bytes secondary section sector pinned pinning opinion spin shipping happiness pin_count auth_method
authMethod auth_type auth_provider authentication_required tokenizer tokenize tokenized description message reason
cookie_policy_url secretary Secretaries secretariat process_id mission session url_id sassy disaster forbearer
""")


@pytest.mark.parametrize("key", TELLING)
def test_a_telling_key(key: str) -> None:
    redactor = Redactor()
    assert redactor.telling(key)
    plain, _ = redactor.details({key: "hunter2"})
    assert set(plain[key]) == {"$sha256"}


@pytest.mark.parametrize("key", HARMLESS)
def test_a_harmless_key(key: str) -> None:
    redactor = Redactor()
    assert not redactor.telling(key)
    assert redactor.details({key: "hunter2"}) == ({key: "hunter2"}, [])


@pytest.mark.parametrize("key", ["", "_", "-", "123", "é", "пароль", "\U0001f511", " ", "a" * 10_000, "\ud800"])
def test_any_text_may_be_a_key(key: str) -> None:
    assert not Redactor().telling(key)


def test_a_long_key_is_looked_at_to_its_end() -> None:
    assert Redactor().telling("x" * 300 + "_password")
    assert Redactor().telling("password_" + "x" * 100)


def test_a_disclosable_key_is_telling() -> None:
    assert Redactor(disclosable=["card"]).telling("card")
    assert not Redactor(disclosable=["card"]).telling("cards")
