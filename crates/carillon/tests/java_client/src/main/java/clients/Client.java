package clients;

import generated.OMSService;
import generated.OMSServiceSoap;
import jakarta.xml.ws.BindingProvider;
import java.io.StringReader;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.xml.sax.InputSource;

/** Sends, batches, schedules and reads results by classes that Apache CXF made of the served WSDL, over SOAP 1.1 and 1.2. */
public final class Client {
    private static final String OMS = "http://schemas.microsoft.com/office/Outlook/2006/OMS";
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private final Map<String, String> demo;
    private final List<String> numbers = new ArrayList<>();
    private final List<String> texts = new ArrayList<>();

    private Client(Path file) throws Exception {
        String json = Files.readString(file);
        demo = Map.of("oms", field(json, "oms"), "user", field(json, "user_id"), "password", field(json, "password"),
            "log", field(json, "sim_log"));
        Matcher number = Pattern.compile("\"(\\+\\d{6,})\\d{4}\"").matcher(json);
        while (number.find()) {
            numbers.add(number.group(1) + "0077");
        }
    }

    public static void main(String[] arguments) throws Exception {
        Client client = new Client(Path.of(arguments[0]));
        OMSService service = new OMSService(URI.create(Path.of(arguments[1]).toUri().toString()).toURL());
        client.exercise("SOAP 1.1", service.getOMSServiceSoap());
        client.exercise("SOAP 1.2", service.getOMSServiceSoap12());
        client.arrived();
        System.out.println("ok: " + client.texts.size() + " texts, each on the network once");
    }

    private void exercise(String name, OMSServiceSoap port) throws Exception {
        ((BindingProvider) port).getRequestContext().put(BindingProvider.ENDPOINT_ADDRESS_PROPERTY, demo.get("oms"));
        Element info = parse(port.getServiceInfo());
        check(info.getLocalName().equals("serviceInfo"), "GetServiceInfo answers " + info.getLocalName());
        check(info.getElementsByTagNameNS("*", "SMS_SENDER").getLength() == 1, "SMS_SENDER is offered");
        String user = "<xmsUser client='java' xmlns='" + OMS + "'>" + login("") + "</xmsUser>";
        check(codes(parse(port.getUserInfo(user))).equals(List.of("ok")), "GetUserInfo knows the user");
        String stranger = "<xmsUser client='java' xmlns='" + OMS + "'>" + login("wrong") + "</xmsUser>";
        check(codes(parse(port.getUserInfo(stranger))).equals(List.of("invalidUser")), "and no other password");
        check(codes(parse(port.deliverXms(message(text("Grüße & <€>"), null, "", null)))).equals(List.of("ok")), "DeliverXms");
        check(codes(parse(port.sendXms(message(text("as before SP1"), null, "", null)))).equals(List.of("ok")), "SendXms");
        Instant later = Instant.now().plus(2, ChronoUnit.SECONDS).truncatedTo(ChronoUnit.SECONDS);
        check(codes(parse(port.deliverXms(message(text("later"), later, "", null)))).equals(List.of("ok")), "scheduled");
        check(codes(parse(port.deliverXms("<xmsData"))).equals(List.of("invalidFormat")), "a broken document");
        batch(port);
        System.out.println("ok: " + name);
    }

    private void batch(OMSServiceSoap port) throws Exception {
        StringBuilder items = new StringBuilder();
        for (int item = 0; item < 3; item++) {
            items.append(item == 1 ? message("not sent", null, "wrong", "1") : message(text("batch " + item), null, "", "" + item));
        }
        Element answers = parse(port.deliverXmsBatch("<xmsBatch client='java' xmlns='" + OMS + "'>" + items + "</xmsBatch>"));
        List<String> found = new ArrayList<>();
        var responses = answers.getElementsByTagNameNS(OMS, "xmsResponse");
        for (int index = 0; index < responses.getLength(); index++) {
            Element response = (Element) responses.item(index);
            found.add(response.getAttribute("id") + codes(response));
        }
        check(found.equals(List.of("0[ok]", "1[invalidUser]", "2[ok]")), "the batch is answered " + found);
    }

    /** Each text is in the simulated network's own record once. */
    private void arrived() throws Exception {
        Instant until = Instant.now().plus(PATIENCE);
        List<String> missing = texts;
        while (!missing.isEmpty() && Instant.now().isBefore(until)) {
            Thread.sleep(100);
            String log = Files.readString(Path.of(demo.get("log")));
            missing = texts.stream().filter(text -> !log.contains(text)).toList();
        }
        String log = Files.readString(Path.of(demo.get("log")));
        for (String text : texts) {
            long count = IntStream.iterate(log.indexOf(text), at -> at >= 0, at -> log.indexOf(text, at + 1)).count();
            check(count == 1, text + " was received " + count + " times");
        }
        check(!log.contains("not sent"), "what was refused was not sent");
    }

    /** A mark that stands in the record as it is. */
    private String text(String words) {
        String mark = "java" + Long.toHexString(System.nanoTime());
        texts.add(mark);
        return words + " " + mark;
    }

    private String message(String text, Instant at, String password, String id) {
        String scheduled = at == null ? "" : "<scheduled>" + at + "</scheduled>";
        return "<xmsData client='java'" + (id == null ? "" : " id='" + id + "'") + " xmlns='" + OMS + "'><user>" + login(password)
            + "</user><xmsHead>" + scheduled + "<requiredService>SMS_SENDER</requiredService><to><recipient>" + numbers.get(0)
            + "</recipient></to></xmsHead><xmsBody format='SMS'><content contentType='text/plain' contentId='1' contentLocation='1.txt'>"
            + escape(text) + "</content></xmsBody></xmsData>";
    }

    private String login(String password) {
        String shown = password.isEmpty() ? demo.get("password") : password;
        return "<userId>" + escape(demo.get("user")) + "</userId><password>" + escape(shown) + "</password><customData/>";
    }

    private static List<String> codes(Element element) {
        var errors = element.getElementsByTagNameNS(OMS, "error");
        return IntStream.range(0, errors.getLength()).mapToObj(index -> ((Element) errors.item(index)).getAttribute("code")).toList();
    }

    private static Element parse(String document) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        Document parsed = factory.newDocumentBuilder().parse(new InputSource(new StringReader(document)));
        return parsed.getDocumentElement();
    }

    private static String field(String json, String name) {
        Matcher matcher = Pattern.compile("\"" + name + "\"\\s*:\\s*\"([^\"]*)\"").matcher(json);
        check(matcher.find(), name + " is in demo.json");
        return matcher.group(1);
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;");
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException("not so: " + what);
        }
    }
}
