"""Tomcat's configuration and the small shop that it serves, as templates. Knows neither processes nor clients.

The shop reads its stock from memcached over a plain socket and writes a receipt for every order. Like many applications
it logs an expected refusal with its stack, so that a stack trace alone is no sign of a fault.
"""

# Few threads, so that a dependency that hangs can use them up; and the background thread looks for changed files and
# stuck requests every four seconds instead of ten, to fit many looks into some minutes. An account is locked for
# twelve seconds after five wrong passwords, so that it is open again before a minute is over.
SERVER = """<?xml version="1.0" encoding="UTF-8"?>
<Server port="-1">
  <Listener className="org.apache.catalina.startup.VersionLoggerListener"/>
  <Listener className="org.apache.catalina.core.JreMemoryLeakPreventionListener"/>
  <GlobalNamingResources>
    <Resource name="UserDatabase" auth="Container" type="org.apache.catalina.UserDatabase"
              factory="org.apache.catalina.users.MemoryUserDatabaseFactory" pathname="conf/tomcat-users.xml"/>
  </GlobalNamingResources>
  <Service name="Catalina">
    <Connector port="{port}" address="127.0.0.1" protocol="HTTP/1.1" maxThreads="5" minSpareThreads="3"
               acceptCount="50" connectionTimeout="20000"/>
    <Engine name="Catalina" defaultHost="localhost" backgroundProcessorDelay="4">
      <Realm className="org.apache.catalina.realm.LockOutRealm" failureCount="5" lockOutTime="12">
        <Realm className="org.apache.catalina.realm.UserDatabaseRealm" resourceName="UserDatabase"/>
      </Realm>
      <Host name="localhost" appBase="webapps" unpackWARs="false" autoDeploy="true">
        <Valve className="org.apache.catalina.valves.StuckThreadDetectionValve" threshold="5"/>
        <Valve className="org.apache.catalina.valves.AccessLogValve" directory="logs" prefix="access" suffix=".log"
               rotatable="false" checkExists="true" buffered="false" pattern="%h %l %u %t &quot;%r&quot; %s %b %D"/>
      </Host>
    </Engine>
  </Service>
</Server>
"""

# By default Tomcat prints ten lines of source around the exception of a page; with them the line count would reveal a
# fault.
JSP_SERVLET = "<servlet-class>org.apache.jasper.servlet.JspServlet</servlet-class>"
JSP_SETTINGS = """
        <init-param><param-name>displaySourceFragment</param-name><param-value>false</param-value></init-param>"""

USERS = """<?xml version="1.0" encoding="UTF-8"?>
<tomcat-users xmlns="http://tomcat.apache.org/xml">
  <role rolename="staff"/>
{users}
</tomcat-users>
"""
USER = '  <user username="{user}" password="{password}" roles="staff"/>'

LOGGING = """
handlers = java.util.logging.ConsoleHandler
.level = INFO
java.util.logging.ConsoleHandler.level = INFO
java.util.logging.ConsoleHandler.formatter = org.apache.juli.OneLineFormatter
"""

SHOP = """<?xml version="1.0" encoding="UTF-8"?>
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0">
  <display-name>shop</display-name>
  <context-param><param-name>inventory.port</param-name><param-value>{memcached}</param-value></context-param>
  <context-param><param-name>receipts</param-name><param-value>{receipts}</param-value></context-param>
  <security-constraint>
    <web-resource-collection><web-resource-name>desk</web-resource-name><url-pattern>/desk.jsp</url-pattern>
    </web-resource-collection>
    <auth-constraint><role-name>staff</role-name></auth-constraint>
  </security-constraint>
  <login-config><auth-method>BASIC</auth-method><realm-name>desk</realm-name></login-config>
  <security-role><role-name>staff</role-name></security-role>
</web-app>
"""
# What an operator's editor leaves behind: a tag closed by another, a tag never closed, an element in a wrong place.
MISTAKES = (
    ("</display-name>", "</displayname>"),
    ("</auth-constraint>", ""),
    ("<realm-name>desk</realm-name>", "<realm-name>desk"),
)

# The shop waits eight seconds for memcached.
_INVENTORY = """<%@page session="false" import="java.io.*,java.net.*,java.nio.file.*"%><%!
String ask(String command, int lines) throws IOException {
    int port = Integer.parseInt(getServletContext().getInitParameter("inventory.port"));
    try (Socket socket = new Socket()) {
        socket.connect(new InetSocketAddress("127.0.0.1", port), 3000);
        socket.setSoTimeout(8000);
        socket.getOutputStream().write((command + "\\r\\n").getBytes("US-ASCII"));
        BufferedReader answer = new BufferedReader(new InputStreamReader(socket.getInputStream(), "US-ASCII"));
        String first = answer.readLine();
        return lines > 1 && first != null && first.startsWith("VALUE") ? answer.readLine() : first;
    }
}
int stock(int item) throws IOException {
    String found = ask("get item:" + item, 2);
    if (!found.equals("END")) return Integer.parseInt(found.trim());
    getServletContext().log("item " + item + " is not in stock yet, ordering 15");
    put(item, 15);
    return 15;
}
void put(int item, int count) throws IOException {
    String text = Integer.toString(count);
    ask("set item:" + item + " 0 600 " + text.length() + "\\r\\n" + text, 1);
}
%>"""

PAGES = {
    "index.jsp": _INVENTORY
    + """<% int item = Integer.parseInt(request.getParameter("item"));
application.log("showing item " + item);
out.print("item " + item + ": " + stock(item)); %>""",
    "order.jsp": _INVENTORY
    + """<% int item = Integer.parseInt(request.getParameter("item"));
int quantity = Integer.parseInt(request.getParameter("quantity"));
int left = stock(item) - quantity;
if (left < 0) {
    StringWriter why = new StringWriter();
    new IllegalStateException("not enough of item " + item).printStackTrace(new PrintWriter(why));
    application.log("order of " + quantity + " refused, there are only " + (left + quantity) + ": " + why);
    put(item, 15);
    response.sendError(409, "not enough");
} else {
    put(item, left);
    Path receipts = Paths.get(application.getInitParameter("receipts"));
    Path draft = Files.createTempFile(receipts, "receipt", ".txt");
    Files.write(draft, ("item " + item + ", " + quantity + " pieces\\n").repeat(400).getBytes());
    Files.move(draft, receipts.resolve("receipt-" + item + ".txt"), StandardCopyOption.REPLACE_EXISTING);
    application.log("order of " + quantity + " of item " + item + " accepted, " + left + " left");
    out.print(left);
} %>""",
    "report.jsp": """<%@page session="false"%><% int rows = Integer.parseInt(request.getParameter("rows"));
StringBuilder report = new StringBuilder();
for (int row = 0; row < rows; row++) report.append("row ").append(row).append(", sold ").append(row % 97).append('\\n');
application.log("report of " + rows + " rows, " + report.length() + " characters");
out.print(report.length()); %>""",
    "desk.jsp": """<%@page session="false"%><% int item = Integer.parseInt(request.getParameter("item"));
application.log(request.getRemoteUser() + " counts item " + item);
out.print(request.getRemoteUser()); %>""",
}
