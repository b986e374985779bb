package open.ecny.client;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Map;

/** The two calls of docs/spec/http.md that a till cannot do without. */
final class Server {
    private static final Duration TIMEOUT = Duration.ofSeconds(20);

    private final HttpClient http = HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
    private final String url;

    Server(String url) {
        this.url = url;
    }

    /** POST /v1/tills: certificates for a one-time code and a signed CertificationRequest. */
    Map<String, String> enrol(String code, byte[] certificationRequest) throws Refused {
        String body = Json.object(
            Map.of("code", code, "certification_request", Bytes.hex(certificationRequest)));
        return Json.strings(new String(post("/v1/tills", "application/json", Bytes.utf8(body))));
    }

    /** POST /v1/deposits: a signed DepositAnswer for a signed DepositBatch, any number of times the same. */
    byte[] deposit(byte[] batch) throws Refused {
        return post("/v1/deposits", "application/cose", batch);
    }

    private byte[] post(String path, String type, byte[] body) throws Refused {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + path)).timeout(TIMEOUT)
            .header("Content-Type", type).POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
        HttpResponse<byte[]> response;
        try {
            response = http.send(request, HttpResponse.BodyHandlers.ofByteArray());
        } catch (IOException unreachable) {
            throw new Refused(Refused.UNREACHABLE, "the server cannot be reached; what is on disk waits");
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
            throw new Refused(Refused.UNREACHABLE, "interrupted; what is on disk waits");
        }
        if (response.statusCode() >= 500) {
            throw new Refused(Refused.UNREACHABLE, "the server answers " + response.statusCode() + "; try again");
        }
        if (response.statusCode() / 100 != 2) {
            Map<String, String> problem = Json.strings(new String(response.body()));
            throw new Refused(Refused.SERVER_REFUSED, "the server refuses: " + problem.get("type") + ", "
                + problem.get("detail"));
        }
        return response.body();
    }
}
