/* A Modbus TCP server on libmodbus: 256 of each table. Prints its port. After every request the input tables
 * mirror the writable ones. One line read: one line written, "HOLDING n n n ... COILS n n n ...". */
#include <arpa/inet.h>
#include <modbus/modbus.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { COUNT = 256 };

static void tell(const modbus_mapping_t *map) {
    printf("HOLDING");
    for (int at = 0; at < COUNT; at++) printf(" %u", map->tab_registers[at]);
    printf(" COILS");
    for (int at = 0; at < COUNT; at++) printf(" %u", map->tab_bits[at]);
    printf("\n");
    fflush(stdout);
}

int main(void) {
    modbus_t *context = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *map = modbus_mapping_new(COUNT, COUNT, COUNT, COUNT);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    int listening = socket(AF_INET, SOCK_STREAM, 0), client = -1;
    if (bind(listening, (struct sockaddr *)&here, size) || listen(listening, 1)) return 1;
    getsockname(listening, (struct sockaddr *)&here, &size);
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    for (;;) {
        struct pollfd waited[2] = {{.fd = 0, .events = POLLIN}, {.events = POLLIN}};
        waited[1].fd = client < 0 ? listening : client;
        if (poll(waited, 2, -1) < 0) return 1;
        if (waited[0].revents) {
            char line[8];
            if (read(0, line, sizeof line) <= 0) return 0;
            tell(map);
        }
        if (!waited[1].revents) continue;
        if (client < 0) {
            client = accept(listening, NULL, NULL);
            modbus_set_socket(context, client);
            continue;
        }
        uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
        int length = modbus_receive(context, request);
        if (length < 0) {
            close(client);
            client = -1;
            continue;
        }
        modbus_reply(context, request, length, map);
        memcpy(map->tab_input_registers, map->tab_registers, COUNT * sizeof(uint16_t));
        memcpy(map->tab_input_bits, map->tab_bits, COUNT);
    }
}
